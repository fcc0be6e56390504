"""The file as a whole: what is read, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.server.alerts.config.files import whole, with_receiver

from watchkeeper.errors import ConfigFileError, UnsupportedConfigError
from watchkeeper.server.alerts.config.loader import check_text, load_config_file, load_config_text
from watchkeeper.server.alerts.config.route import walk


def refused(text: str) -> str:
    """Return what the loader says against *text*."""
    with pytest.raises(ConfigFileError) as caught:
        load_config_text(text, "am.yml")
    return str(caught.value)


def test_a_route_inherits_what_it_does_not_give() -> None:
    """Receiver, grouping and times come from the parent; matchers and muting do not."""
    config = load_config_text(
        whole(
            """
            receiver: first
            group_by: [a, b]
            group_wait: 5s
            repeat_interval: 1h
            routes:
            - matchers: [x="1"]
              mute_time_intervals: [never]
              group_interval: 1m30s
              routes:
              - matchers: [y="2"]
                receiver: second
                group_by: []
            """,
            "time_intervals: [{name: never, time_intervals: [{times: []}]}]\n",
        ),
        "am.yml",
    )
    root, child, grandchild = walk(config.route)

    assert (root.receiver, root.group_by, root.group_wait_ms) == ("first", ("a", "b"), 5_000)
    assert (root.group_interval_ms, root.repeat_interval_ms) == (300_000, 3_600_000)
    assert (child.receiver, child.group_by, child.group_wait_ms) == ("first", ("a", "b"), 5_000)
    assert (child.group_interval_ms, child.mute_time_intervals) == (90_000, ("never",))
    assert (grandchild.receiver, grandchild.group_by) == ("second", ())
    assert (grandchild.group_interval_ms, grandchild.mute_time_intervals) == (90_000, ())


def test_defaults_are_alertmanagers() -> None:
    """A file with a receiver only waits 30 s, then 5 min, repeats after 4 h, groups all in one."""
    config = load_config_text(whole(), "am.yml")
    route = config.route

    assert (route.group_wait_ms, route.group_interval_ms, route.repeat_interval_ms) == (
        30_000, 300_000, 14_400_000,
    )  # fmt: skip
    assert (route.group_by, route.group_by_all, route.continue_) == ((), False, False)
    assert config.resolve_timeout_ms == 300_000


def test_route_keys_are_alertmanagers() -> None:
    """A route's key is its matchers, sorted, after those of its parents."""
    config = load_config_text(
        whole(
            """
            receiver: first
            routes:
            - match: {b: '2', a: '1'}
              match_re: {c: x|y}
              matchers: ['{a!="0"}', '"two words"=w']
              routes:
              - receiver: second
            """
        ),
        "am.yml",
    )

    assert [route.key for route in walk(config.route)] == [
        "{}",
        '{}/{a!="0",a="1",b="2",c=~"x|y","two words"="w"}',
        '{}/{a!="0",a="1",b="2",c=~"x|y","two words"="w"}/{}',
    ]


@pytest.mark.parametrize(
    ("parent", "child", "names", "everything"),
    [
        ("[a]", "['...']", (), True),
        ("['...']", "[a]", ("a",), False),
        ("['...']", "[]", (), False),
        ("['...']", "null", (), True),
        ("[a]", "null", ("a",), False),
    ],
)
def test_group_by_everything(
    parent: str,
    child: str,
    names: tuple[str, ...],
    everything: bool,  # noqa: FBT001
) -> None:
    """``group_by: ['...']`` makes every alert a group; a child may group otherwise."""
    config = load_config_text(
        whole(f"{{receiver: first, group_by: {parent}, routes: [{{group_by: {child}}}]}}"), "am.yml"
    )
    (route,) = config.route.routes

    assert (route.group_by, route.group_by_all) == (names, everything)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "am.yml:1: the file has no route"),
        ("receivers: []", "am.yml:1: the file has no route"),
        ("route: null", "the file has no route"),
        ("route: [", "am.yml:2: not YAML"),
        ("a: 1", "am.yml:1: the file has the unknown field 'a'"),
        (whole() + "---\na: 1\n", "a second document"),
        (whole("{}"), "the root route has no receiver"),
        (whole("receiver: fourth"), "am.yml:2: the receiver 'fourth' is not defined"),
        (whole("{receiver: first, routes: [{receiver: fourth}]}"), "'fourth' is not defined"),
        (whole("{receiver: first, continue: true}"), "the root route says continue"),
        (whole("{receiver: first, match: {a: b}}"), "the root route has match."),
        (whole("{receiver: first, match_re: {a: b}}"), "the root route has match_re"),
        (whole("{receiver: first, matchers: [a=b]}"), "the root route has matchers"),
        (whole("{receiver: first, mute_time_intervals: [a]}"), "has mute_time_intervals"),
        (whole("{receiver: first, active_time_intervals: [a]}"), "has active_time_intervals"),
        (whole("{receiver: first, group_by: [a, a]}"), "group_by has a label twice"),
        (whole("{receiver: first, group_by: [a, '...']}"), "group_by has '...' and labels"),
        (whole("{receiver: first, group_by: ['']}"), "group_by has an empty name"),
        (whole("{receiver: first, group_by: a}"), "group_by is not a list"),
        (whole("{receiver: first, group_wait: soon}"), "group_wait is 'soon'"),
        (whole("{receiver: first, group_wait: ''}"), "group_wait is ''"),
        (whole("{receiver: first, group_interval: 0s}"), "group_interval is zero"),
        (whole("{receiver: first, repeat_interval: 0}"), "repeat_interval is zero"),
        (whole("{receiver: first, continue: 'false'}"), "continue is '\"false\"'"),
        (whole("{receiver: first, routes: [null]}"), "a route is empty"),
        (whole("{receiver: first, routes: [{match: {'a b': c}}]}"), "match has the name 'a b'"),
        (whole("{receiver: first, routes: [{match_re: {a: '('}}]}"), "match_re.a is not RE2"),
        (whole("{receiver: first, routes: [{match_re: {a: }}]}"), "match_re.a has no pattern"),
        (whole("{receiver: first, routes: [{matchers: ['a']}]}"), "a matcher cannot be read"),
        (whole("{receiver: first, routes: [{mute_time_intervals: [x]}]}"), "'x' is not defined"),
        (whole(rest="- name: first\n"), "am.yml:7: the receiver 'first' is given twice"),
        (whole(rest="- name: ''\n"), "a receiver lacks name"),
        (whole(rest="- {name: d, x_configs: []}\n"), "unknown field 'x_configs'"),
        (whole(rest="inhibit_rules: [{equal: ['']}]"), "equal has an empty name"),
        (whole(rest="inhibit_rules: [{source_match: {a b: c}}]"), "source_match has the name"),
        (whole(rest="inhibit_rules: [{target_matchers: [a]}]"), "a matcher cannot be read"),
        (whole(rest="inhibit_rules: [{sauce: a}]"), "unknown field 'sauce'"),
        (whole(rest="time_intervals: [{}]"), "a named time interval lacks name"),
        (whole(rest="time_intervals: [{name: a}, {name: a}]"), "'a' is given twice"),
        (
            whole(rest="time_intervals: [{name: a}]\nmute_time_intervals: [{name: a}]"),
            "'a' is given twice",
        ),
        (whole(rest="global: {resolve_timeout: 1}"), "resolve_timeout is '1'"),
        (whole(rest="global: {smtp_smarthost: localhost}"), "smtp_smarthost is 'localhost'"),
        (whole(rest="global: {pagerduty_url: 'ftp://host'}"), "not an address of http"),
        (whole(rest="global: {http_config: {proxy: x}}"), "unknown field 'proxy'"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    """Each rule of the file, once broken, is told with the line, what is accepted and what to do."""
    message = refused(text)

    assert said in message
    assert "Accepted: " in message
    assert "Next: " in message


def test_null_is_the_empty_value() -> None:
    """A field that is there without a value is empty, as it is for Alertmanager."""
    config = load_config_text(
        with_receiver(
            "email", "{to: a@b, send_resolved: , html: }",
            "{smtp_hello: , smtp_from: c@d, smtp_smarthost: 'h:25', resolve_timeout: }",
        ),
        "am.yml",
    )  # fmt: skip
    (email,) = config.receivers["first"].integrations

    assert (email.settings["hello"], email.settings["html"]) == ("", "")
    assert (email.send_resolved, config.resolve_timeout_ms) == (False, 0)


def test_what_is_not_served_is_named_all_at_once() -> None:
    """A valid file that asks for more than this server does is refused, everything named."""
    text = whole(
        "{receiver: first, labels: {a: b}}",
        """\
        - name: d
          labels: {a: b}
          opsgenie_configs: [{api_key: k}]
          webhook_configs:
          - url: http://h
            http_config: {oauth2: {client_id: a, client_secret: b, token_url: c}}
        tracing: {endpoint: h}
        """,
    )

    assert check_text(text, "am.yml").config.receivers["d"].integrations
    with pytest.raises(UnsupportedConfigError) as caught:
        load_config_text(text, "am.yml")
    for named in (
        "labels of a route", "line 8: labels of a receiver", "line 9: opsgenie_configs",
        "webhook_configs: http_config.oauth2", "the section tracing",
    ):  # fmt: skip
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("slack", "{api_url: 'http://h', callback_id: c}", "callback_id"),
        ("slack", "{api_url: 'http://h', mrkdwn_in: [text]}", "mrkdwn_in"),
        ("slack", "{api_url: 'http://h', short_fields: true}", "short_fields"),
        (
            "slack", "{api_url: 'http://h', actions: [{type: b, text: t, name: n}]}",
            "actions without a url",
        ),
        ("pagerduty", "service_key: k", "service_key"),
        ("slack", "{api_url: 'http://h', title: '{{ nope }}'}", "title is a template that fails: "),
        ("pagerduty", "{routing_key: k, details: {a: ['{{ if }}']}}", "details.a is a template"),
        ("webhook", "url: 'http://h/{{ nope }}'", "url is a template that fails;?"),
        ("webhook", "{url: 'http://h', http_config: {proxy_url: 'http://p', no_proxy: h}}",
         "http_config.no_proxy"),
        ("webhook", "{url: 'http://h', http_config: {tls_config: {server_name: s}}}",
         "http_config.tls_config.server_name"),
        ("webhook", "{url: 'http://h', http_config: {basic_auth: {username_file: s}}}",
         "http_config.basic_auth.username_file"),
        ("webhook", "{url: 'http://h', http_config: {authorization: {credentials_ref: s}}}",
         "http_config.authorization.credentials_ref"),
    ],
)  # fmt: skip
def test_options_that_are_not_served(kind: str, fields: str, named: str) -> None:
    """An option that no sender does is refused by its place, not passed over."""
    with pytest.raises(UnsupportedConfigError, match=f"line .: {kind}_configs: {named}"):
        load_config_text(with_receiver(kind, fields), "am.yml")


def test_relative_paths_start_from_the_files_folder(tmp_path: Path) -> None:
    """Secrets and templates are looked for beside the file, and a secret is read when asked for."""
    (tmp_path / "am.yml").write_text(
        with_receiver("pagerduty", "routing_key_file: key") + "templates: [t/*.tmpl, /abs]\n"
    )
    config = load_config_file(tmp_path / "am.yml")
    (tmp_path / "key").write_text("first\n")
    (pagerduty,) = config.receivers["first"].integrations
    first = pagerduty.settings["routing_key"].reveal()
    (tmp_path / "key").write_text("rotated\n")

    assert config.templates == (str(tmp_path / "t/*.tmpl"), "/abs")
    assert (first, pagerduty.settings["routing_key"].reveal()) == ("first", "rotated")


def test_template_files_are_read_with_the_file(tmp_path: Path) -> None:
    """A template file that does not parse is told when the configuration is loaded, by name."""
    (tmp_path / "am.yml").write_text(whole(rest="templates: ['*.tmpl', none/*]\n"))
    (tmp_path / "good.tmpl").write_text('{{ define "mine" }}{{ .Status | toUpper }}{{ end }}')
    assert load_config_file(tmp_path / "am.yml").templates

    (tmp_path / "other.tmpl").write_text('{{ define "mine" }}')

    with pytest.raises(ConfigFileError, match=r"am\.yml: a template file cannot .*other\.tmpl"):
        load_config_file(tmp_path / "am.yml")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"\xff", "not UTF-8"), (b"a" * (4 * 1024 * 1024 + 1), "larger")],
)
def test_a_file_that_cannot_be_taken(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A missing, foreign or huge file is refused by name."""
    path = tmp_path / "am.yml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigFileError, match=said):
        load_config_file(path)
