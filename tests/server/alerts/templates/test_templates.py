"""Receivers' templates: what Go and Alertmanager make of them, and what values cannot do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.server.alerts.receivers.samples import (
    MINUTE_MS,
    START_MS,
    alert,
    hostile,
    notification,
)
from tests.services import needed

from watchkeeper.server.alerts.receivers.webhook import payload
from watchkeeper.server.alerts.templates.store import TemplateError, Templates, check_text

TOLD = notification(
    alert(instance="a", note="<b> & 'c' \"d\"", starts_ms=START_MS + 120),
    alert(instance="b", ends_ms=START_MS + MINUTE_MS, annotations={"summary": "s & t"}),
    receiver="team.a (b)",
)

TEXTS = [
    "plain", "", "{{ .Status }}", "{{ .Receiver | urlquery }}", '{{ .Status | toUpper | printf "%q" }}',
    "{{ .Alerts.Firing | len }} of {{ len .Alerts }}",
    '{{ .GroupLabels.SortedPairs.Values | join " " }}',
    '{{ (.CommonLabels.Remove .GroupLabels.Names).SortedPairs.Values | join ", " }}',
    '{{ with .CommonLabels.Remove (stringSlice "job") }}{{ .Names | join "," }}{{ end }}',
    "{{ range .Alerts }}{{ .Labels.instance }}={{ .Status }};{{ end }}",
    "{{ range $i, $a := .Alerts }}{{ $i }}{{ $a.Labels.instance }}{{ end }}",
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}: {{ .Value }}\n{{ end }}",
    "{{ range $k, $v := .CommonLabels }}{{ $k }}={{ $v }} {{ end }}",
    '{{ range .Alerts }}{{ .StartsAt.Format "2006-01-02T15:04:05.000Z07:00 Mon Jan _2 3:04PM" }};{{ end }}',
    "{{ range .Alerts }}{{ .StartsAt }} {{ .StartsAt.Unix }} {{ .EndsAt.IsZero }};{{ end }}",
    "{{ range .Alerts }}{{ .Annotations.nothing }}|{{ .GeneratorURL }}{{ .Fingerprint }}{{ end }}",
    '{{ define "x" }}[{{ . }}]{{ end }}{{ template "x" .Status }}{{ template "x" }}',
    '{{ block "y" .Status }}<{{ . }}>{{ end }}',
    '{{ if eq .Status "firing" }}yes{{ else if eq .Status "x" }}no{{ end }}',
    '{{ if and (gt (len .Alerts.Firing) 0) (ne .Receiver "x") }}a{{ end }}',
    "{{ if or .CommonLabels.nothing .Status }}{{ not .Status }}{{ end }}",
    '{{ match "^fir" .Status }} {{ reReplaceAll "(i)(r)" "$2-$1" .Status }}',
    '{{ "hello" | toUpper }}{{ "HELLO" | toLower }}{{ "hello world" | title }}',
    "{{ $n := 1 }}{{ range .Alerts }}{{ $n = 2 }}{{ end }}{{ $n }}",
    '{{- /* note */ -}} {{ "a" -}}  b  {{- "c" }}',
    '{{ index .CommonLabels "job" }}{{ (index .Alerts 0).Labels.instance }}',
    '{{ .CommonLabels.job | printf "%s-%s" "x" }} {{ printf "%d %v %.2f" 3 true 1.5 }}',
    "{{ with .CommonAnnotations.nothing }}x{{ else }}none{{ end }}",
    '{{ slice "abcdef" 1 3 }} {{ html "<a>" }} {{ print 1 2 "x" 3 }}',
    '{{ range .Alerts }}{{ if eq .Labels.instance "b" }}{{ break }}{{ end }}{{ .Labels.instance }}{{ end }}',
    '{{ range .Alerts }}{{ if eq .Labels.instance "a" }}{{ continue }}{{ end }}{{ .Labels.instance }}{{ end }}',
    "{{ $.Status }}{{ range .Alerts }}{{ $.Status }}{{ end }}",
]  # fmt: skip

HTML = [
    "<p>{{ (index .Alerts 0).Labels.note }}</p>",
    '<a title="{{ (index .Alerts 0).Labels.note }}">x</a>',
    "<a title='{{ (index .Alerts 0).Labels.note }}'>x</a>",
    '<a href="{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}">x</a>',
    "{{ safeHtml (index .Alerts 0).Labels.note }}",
    '{{ define "x" }}<i>{{ . }}</i>{{ end }}{{ template "x" (index .Alerts 0).Labels.note }}',
    '{{ "<b>" }}{{ .CommonLabels.nothing }}',
    "<title>{{ (index .Alerts 0).Labels.note }}</title>",
]


def from_amtool(text: str, kind: str, folder: Path) -> tuple[int, str]:
    """Return how Debian's amtool renders *text*: its exit code and output."""
    amtool = shutil.which("amtool")
    if amtool is None:
        needed("amtool")
    data, empty = folder / "data.json", folder / "empty.tmpl"
    data.write_text(json.dumps(payload(TOLD)))
    empty.write_text("")
    done = subprocess.run(
        [
            *(amtool, "template", "render", f"--template.glob={empty}"),
            *(f"--template.type={kind}", f"--template.data={data}", f"--template.text={text}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_rendered_as_by_amtool(text: str, tmp_path: Path) -> None:
    """For each of Go's and Alertmanager's constructs, Debian's amtool gives the same text."""
    if not text:
        assert not Templates().render(text, TOLD)
        return

    # The quoted receiver of the data is quoted once, by whoever makes the data.
    assert (0, Templates().render(text, TOLD)) == from_amtool(text, "text", tmp_path)


@pytest.mark.parametrize("text", HTML)
def test_html_is_rendered_as_by_amtool(text: str, tmp_path: Path) -> None:
    """Values are escaped for the place where they stand, as html/template does."""
    assert (0, Templates().render(text, TOLD, "html")) == from_amtool(text, "html", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ .Nope }}", "Nope"),
        ("{{ nope }}", "function 'nope' is not defined"),
        ("{{ $x }}", r"undefined variable \$x"),
        ('{{ template "nope" . }}', "template 'nope' is not defined"),
        ("{{ if .Status }}", "has no {{end}}"),
        ("{{ end }}", "without a block"),
        ('{{ define "x" }}', "has no {{end}}"),
        ("{{ define x }}{{ end }}", "no name in quotes"),
        ('{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}', "too deeply"),
        ("{{ .Status.Foo }}", "Foo"),
        ("{{ join 1 2 }}", "string"),
        ("{{ toUpper }}", "does not take 0"),
        ('{{ reReplaceAll "(" "" .Status }}', "bad regular expression"),
        ('{{ tz "Mars/Olympus" now }}', "unknown time zone"),
        ("{{ range 100000000 }}{{ end }}", "steps"),
        ('{{ range 100000 }}{{ "0123456789" }}{{ end }}', "longer than"),
        ("{{ .Alerts.Firing 1 }}", "other arguments"),
    ],
)
def test_a_wrong_template_is_an_error_by_name(text: str, message: str) -> None:
    """What is wrong is told; nothing is half rendered."""
    with pytest.raises(TemplateError, match=message):
        Templates().render(text, TOLD)


def test_a_text_can_be_checked_without_data() -> None:
    """Syntax, functions and variables are known before anything fires."""
    check_text('{{ template "later" . }}')
    with pytest.raises(TemplateError, match="nope"):
        check_text("{{ nope }}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{ "a b" | urlquery | urlUnescape }}', "a b"),
        ('{{ trimSpace "  a " }}', "a"),
        ('{{ (index .Alerts 0).StartsAt | tz "Europe/Berlin" | date "15:04 MST" }}', "01:00 CET"),
        ("{{ since (index .Alerts 0).StartsAt | humanizeDuration }}", "11m 59s"),
        ('{{ (toDate "2006-01-02" "2026-03-04").Format "Jan 2" }}', "Mar 4"),
        ('{{ toJson (dict "a" (list 1 "b")) }}', '{"a":[1,"b"]}'),
        ('{{ base64decode (base64encode "ä?") }}', "ä?"),
        ("{{ .CommonLabels }}", "alertname=ApiErrorRate, job=api, severity=page"),
        ('{{ .CommonLabels.Values.Join "+" }}', "ApiErrorRate+api+page"),
        ("{{ append (list 1) 2 | len }}", "2"),
    ],
)
def test_newer_functions_are_known(text: str, expected: str) -> None:
    """Functions that Alertmanager got later work too."""
    assert expected == Templates().render(text, TOLD)


def test_files_define_templates_and_override_the_default_ones(tmp_path: Path) -> None:
    """Patterns are relative to a folder; later files win; a pattern may fit nothing."""
    (tmp_path / "a.tmpl").write_text('{{ define "mine" }}one{{ end }}')
    (tmp_path / "b.tmpl").write_text(
        '{{ define "mine" }}two {{ template "slack.default.title" . }}{{ end }}'
        '{{ define "slack.default.title" }}T{{ end }}'
    )
    found = Templates(["*.tmpl", "none/*.tmpl"], tmp_path)

    assert "two T" == found.render('{{ template "mine" . }}', TOLD)
    assert found.overrides("slack.default.title")
    assert not Templates().overrides("slack.default.title")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{{ if }}", "bad.tmpl"), (b"\xff", "UTF-8"), (b"x" * 1_100_000, "larger than"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """The error says which file and what is wrong."""
    (tmp_path / "bad.tmpl").write_bytes(content)
    with pytest.raises(TemplateError, match=message) as caught:
        Templates(["*.tmpl"], tmp_path)

    assert "bad.tmpl" in str(caught.value)


@pytest.mark.parametrize("name", [
    *(f"slack.default.{part}" for part in (
        "title", "username", "fallback", "callbackid", "pretext", "titlelink", "iconemoji",
        "iconurl", "text", "footer", "color",
    )),
    *(f"pagerduty.default.{part}" for part in ("description", "client", "clientURL")),
    "email.default.subject", "email.default.html", "__subject", "__alertmanagerURL",
])  # fmt: skip
def test_the_default_templates_exist(name: str) -> None:
    """Every name that Alertmanager's defaults use is there, also in HTML."""
    text = f'{{{{ template "{name}" . }}}}'
    Templates().render(text, TOLD)
    Templates().render(text, TOLD, "html")


def test_slacks_markup_is_the_authors_alone() -> None:
    """The template's own mentions and links work; those in values do not."""
    told = hostile("<!channel> @here &")
    text = (
        '<!here> {{ .CommonLabels.job }} {{ "<!subteam^S1>" }} '
        '{{ printf "<%s|%s>" "https://x.example" .CommonLabels.job }} {{ .CommonLabels }}'
    )
    said = Templates().render(text, told, "slack")

    assert said.startswith("<!here> &lt;!channel&gt; @\u2060here &amp; <!subteam^S1> ")
    assert "<https://x.example|&lt;!channel&gt;" in said
    assert "<!channel>" not in said


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("<p>{}</p>", "<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ('<a href="{}">', "javascript:alert(1)", 'href="#"'),
        ('<a href="{}">', " JavaScript:alert(1)", 'href="#"'),
        ('<a href="{}">', "https://x.example/?a=1&b=2", 'href="https://x.example/?a=1&amp;b=2"'),
        ('<a title="{}">', '"><img src=x onerror=alert(1)>', "&#34;&gt;&lt;img src=x"),
        ("<a title={}>", "x onerror=alert(1)", "x&#32;onerror&#61;alert(1)"),
    ],
)
def test_a_value_cannot_leave_its_place_in_html(text: str, value: str, expected: str) -> None:
    """Tags, attributes and addresses stay what the author wrote."""
    template = text.replace("{}", "{{ (index .Alerts 0).Labels.job }}")

    assert expected in Templates().render(template, notification(alert(job=value)), "html")


@pytest.mark.parametrize(
    "text",
    [
        "<script>{}</script>", "<style>{}</style>", "<!-- {} -->", '<a onclick="{}">',
        '<a style="{}">', "<a {}>", "<{}>",
    ],
)  # fmt: skip
def test_where_no_escaping_is_right_a_value_is_refused(text: str) -> None:
    """The error says what to do instead of guessing."""
    with pytest.raises(TemplateError, match="a value stands in"):
        Templates().render(text.replace("{}", "{{ .Status }}"), TOLD, "html")
