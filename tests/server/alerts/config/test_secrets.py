"""Secrets stay secret: in errors, in representations, and in the file as it may be shown."""

from __future__ import annotations

import pytest
from tests.server.alerts.config.files import with_receiver

from watchkeeper.errors import ConfigFileError, UnsupportedConfigError
from watchkeeper.server.alerts.config.fields import SENT
from watchkeeper.server.alerts.config.loader import check_text, load_config_text
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.config.receivers import KINDS
from watchkeeper.server.alerts.config.tables import Table

_WORD = "hunter2"
_EVERYWHERE = f"""\
global:
  # the old one was {_WORD}
  smtp_smarthost: h:25
  smtp_from: a@b
  smtp_auth_password: {_WORD}
  smtp_auth_secret: "{_WORD}"
  slack_api_url: https://hooks.slack.com/{_WORD}
  opsgenie_api_key: {_WORD}
  http_config:
    proxy_url: http://user:{_WORD}@proxy:1080
route: {{receiver: first}}
receivers:
- name: first
  webhook_configs:
  - url: https://h/{_WORD}
    http_config:
      basic_auth: {{username: u, password: {_WORD}}}
      http_headers: {{X-Key: {{secrets: [{_WORD}], values: [shown]}}}}
  - url: &hook 'https://h/{_WORD}'
    http_config:
      authorization: {{credentials: {_WORD}}}
  - url: *hook
    http_config: {{bearer_token: {_WORD}}}
  - url: https://user:{_WORD}@h/{{{{ .GroupKey }}}}
  email_configs:
  - to: a@b
    auth_password: |
      {_WORD}
    tls_config:
      cert_file: c
      key: {_WORD}
  slack_configs:
  - channel: '#a'
  - app_token: xoxb-{_WORD}
    app_url: https://u:{_WORD}@slack.example/api
  pagerduty_configs:
  - routing_key: {_WORD}
    url: https://u:{_WORD}@events.example
  apprise_configs:
  - urls: ['mailto://u:{_WORD}@h', json://h/{_WORD}]
"""


def test_nothing_that_is_shown_holds_a_secret() -> None:
    """Neither the shown file nor any representation of the configuration has a secret."""
    checked = check_text(_EVERYWHERE, "am.yml")

    for shown in (checked.config.original, repr(checked), str(checked.config)):
        assert _WORD not in shown


def test_the_shown_file_still_loads() -> None:
    """The shown file is one that Alertmanager loads, its secrets written as <secret>."""
    shown = check_text(_EVERYWHERE, "am.yml").config.original

    again = check_text(shown, "am.yml")

    assert shown.count("<secret>") == 18
    assert "http://user:xxxxx@proxy:1080" in shown
    assert "values: [shown]" in shown
    assert again.config.original == shown


def test_a_shown_file_is_not_served() -> None:
    """A file in which <secret> stands for a secret is refused, since nothing can be sent with it."""
    text = with_receiver("pagerduty", "routing_key: <secret>")

    with pytest.raises(UnsupportedConfigError, match="routing_key is the placeholder <secret>"):
        load_config_text(text, "am.yml")


def test_what_is_shown_means_the_same() -> None:
    """Numbers, booleans, texts in quotes and empty values keep their meaning when shown."""
    text = with_receiver(
        "pagerduty",
        "{routing_key: k, details: {a: 1, b: '1', c: true, d: 'true', e: null, f: '', g: 1.5}}",
    )
    before = load_config_text(text, "am.yml")

    after = check_text(before.original, "am.yml").config

    def details(config: object) -> object:
        return config.receivers["first"].integrations[0].settings["details"]  # type: ignore[attr-defined]

    assert details(before) == {
        "a": 1,
        "b": "1",
        "c": True,
        "d": "true",
        "e": None,
        "f": "",
        "g": 1.5,
    }
    assert details(after) == details(before)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("slack", f"api_url: {_WORD}"),
        ("slack", f"api_url: 'https://h ost/{_WORD}'"),
        ("slack", f"{{api_url: 'https://h/{_WORD}', app_token: {_WORD}}}"),
        ("slack", f"api_url: [{_WORD}]"),
        ("slack", f"api_url: {{{_WORD}: 1}}"),
        ("slack", f"app_url: ftp://u:{_WORD}@h"),
        ("webhook", f"url: ftp://{_WORD}"),
        ("webhook", f"url: 'https://h:{_WORD}'"),
        ("webhook", f"{{url: 'https://h', http_config: {{basic_auth: {_WORD}}}}}"),
        ("pagerduty", f'routing_key: "{_WORD}'),
        ("pagerduty", f"routing_key: {_WORD}: x"),
        ("pagerduty", f"routing_key: @{_WORD}"),
        ("pagerduty", f"{{routing_key: {_WORD}, service_key: {_WORD}, no: 1}}"),
        ("email", f"{{auth_password: {_WORD}}}"),
        ("apprise", f"urls: 'json://{_WORD}'"),
    ],
)
def test_errors_show_no_secret(kind: str, fields: str) -> None:
    """An error about a secret, or beside one, does not repeat it, nor does what it came from."""
    with pytest.raises(ConfigFileError) as caught:
        load_config_text(with_receiver(kind, fields), "am.yml")

    assert _WORD not in str(caught.value)
    assert caught.value.__cause__ is None


def _secret_fields(table: Table) -> set[str]:
    return {name for name, field in table.fields.items() if "secret" in field.kind}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_sounds_secret_is(kind: str) -> None:
    """Every key, token, password and webhook of every kind of receiver is kept as a secret."""
    sounds = {
        name
        for name in KINDS[kind].fields
        if name.endswith(("_key", "token", "password", "secret", "token_id", "webhook_url"))
        and (kind, name) != ("victorops", "routing_key")
    }

    assert sounds <= _secret_fields(KINDS[kind])


@pytest.mark.parametrize("kind", sorted(SENT))
def test_a_file_stands_for_a_secret(kind: str) -> None:
    """Where a secret may be in a file, its field is a `Secret` and the file's is gone."""
    table = SENT[kind]
    twins = [name for name in _secret_fields(table) if f"{name}_file" in table.fields]
    for name in twins:
        rest = {"slack": "channel: c", "email": "to: a@b", "pagerduty": "service_key: k"}
        given = "routing_key: k" if name == "service_key" else rest.get(kind, "")
        fields = ", ".join(filter(None, [f"{name}_file: /f", given]))
        text = with_receiver(kind, f"{{{fields}}}", "{smtp_smarthost: 'h:25', smtp_from: a@b}")
        (found,) = check_text(text, "am.yml").config.receivers["first"].integrations

        expected = Secret(source="/f")
        assert found.settings[name] == ((expected,) if kind == "apprise" else expected)
        assert f"{name}_file" not in found.settings
