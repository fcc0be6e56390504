"""Templates in labels and annotations expand as Prometheus expands them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from watchkeeper.server.rules.template import TemplateData, expand
from watchkeeper.server.rules.template_functions import QuerySample
from watchkeeper.server.rules.template_parser import TemplateError, check_template

SAMPLES = [QuerySample({"a": "y"}, 2.0), QuerySample({"a": "x"}, 1.5)]
DATA = TemplateData(
    labels={"job": "api", "instance": "web.example.org:9090", "odd_name": "z"},
    value=1234567.25,
    external_url="http://127.0.0.1:8400/base",
    query=lambda expr: SAMPLES if expr == "up" else [],
)
SAME_AS_PROMETHEUS = (
    "plain",
    "{{ $labels.job }}/{{$labels.instance}} {{ $labels.missing }}.",
    "{{ .Labels.job }} {{ .Value }} {{ $value }}",
    "a {{- 1 -}} b {{- /* comment */ -}} c",
    "{{ 123456.0 }} {{ 1234567.0 }} {{ 2000000.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e21 }} {{ -2.5 }}",
    "{{ $value | humanize }} {{ humanize 0.0 }} {{ humanize 0.0012 }} {{ humanize -15000.0 }}",
    "{{ humanize1024 1048576.0 }} {{ humanize1024 1000.0 }} {{ humanize1024 0.5 }}",
    "{{ humanizeDuration 0.0 }} {{ humanizeDuration 0.0021 }} {{ humanizeDuration 59.5 }}",
    "{{ humanizeDuration 60.0 }} {{ humanizeDuration 3661.0 }} {{ humanizeDuration 899999.0 }}",
    "{{ humanizeDuration -90061.0 }}",
    "{{ humanizePercentage 0.0513 }} {{ humanizePercentage 1.0 }} {{ humanizePercentage 0.99999 }}",
    "{{ humanizeTimestamp 1435065584.128 }} {{ humanizeTimestamp 0.0 }}",
    '{{ printf "%.2f|%5.1f|%d|%s|%q|%v|%g|%e|%%|%-6s|%x" 1.005 2.25 3 "s" "q" 4.5 6.5 7.5 "l" 255 }}',
    '{{ printf "%d" $value }} {{ printf "%s" }} {{ printf "x" 1 }} {{ printf "%t" true }}',
    "{{ toUpper $labels.job }} {{ toLower `AbC` }} {{ title `hello world` }}",
    '{{ reReplaceAll "(.*)\\\\.(.*):\\\\d+" "$2-${1}" $labels.instance }} {{ match "a.i" "xapix" }}',
    "{{ stripPort $labels.instance }} {{ stripPort `[::1]:80` }} {{ stripPort `x` }}",
    "{{ stripDomain $labels.instance }} {{ stripDomain `127.0.0.1:80` }} {{ stripDomain `a.b` }}",
    "{{ if gt $value 1.0 }}big{{ else }}small{{ end }}",
    '{{ if eq $labels.job "web" "api" }}1{{ else if true }}2{{ end }}',
    "{{ if and true (not false) }}1{{ end }}{{ if or false `` }}2{{ else }}3{{ end }}",
    "{{ with $labels.job }}<{{ . }}>{{ end }}{{ with $labels.none }}x{{ else }}none{{ end }}",
    "{{ range $name, $text := $labels }}{{ $name }}={{ $text }};{{ end }}",
    "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
    '{{ index $labels "job" }} {{ len `abc` }} {{ print 1 2 "a" 3 }} {{ println 1 "b" }}',
    "{{ html `<a>&'` }} {{ urlquery `a b&c` }} {{ lt 1 2 }} {{ ne `a` `b` }}",
    "{{ (args 1 2).arg1 }} {{ graphLink `up == 1` }} {{ tableLink `up` }}",
    '{{ `raw \\n` }} {{ "tab\\tquote\\"" }} {{ 0x10 }}',
    "{{ $.Labels.job | printf `%s-%s` `a` | toUpper }}",
    "{{ parseDuration `1h30m` }}",
)  # fmt: skip


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what promtool makes of every template above: it prints them when a test fails."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing")
        pytest.skip("promtool is missing; tests/debian.sh installs it")
    folder: Path = tmp_path_factory.mktemp("promtool")
    rule = {
        "alert": "A",
        "expr": "m",
        "annotations": {f"t{n}": text for n, text in enumerate(SAME_AS_PROMETHEUS)},
    }
    series = 'm{job="api",instance="web.example.org:9090",odd_name="z"}'
    test = {
        "interval": "1m",
        "external_url": DATA.external_url,
        "input_series": [{"series": series, "values": "1234567.25"}],
        "alert_rule_test": [{"eval_time": "0s", "alertname": "A", "exp_alerts": []}],
    }
    (folder / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    (folder / "t.yml").write_text(yaml.safe_dump({"rule_files": ["r.yml"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "t.yml"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_expansions_are_prometheus(theirs: str) -> None:
    """Every template gives, byte for byte, what Debian's Prometheus makes of it."""
    wrong = []
    for n, text in enumerate(SAME_AS_PROMETHEUS):
        ours = expand(text, TemplateData(
            labels={**DATA.labels, "__name__": "m"}, value=DATA.value, external_url=DATA.external_url,
        ))  # fmt: skip
        quoted = ours.replace("\\", "\\\\").replace('"', '\\"')
        quoted = quoted.replace("\n", "\\n").replace("\t", "\\t")
        if f't{n}="{quoted}"' not in theirs:
            wrong.append((text, ours))

    assert wrong == [], theirs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{ query "up" | first | value }}', "2"),
        ('{{ query "up" | sortByLabel "a" | first | label "a" }}', "x"),
        ('{{ range query "up" }}{{ .Labels.a }}={{ .Value }} {{ end }}', "y=2 x=1.5 "),
        ('{{ range $i, $s := query "up" }}{{ $i }}{{ $s.Labels.a }}{{ end }}', "0y1x"),
        ('{{ with query "none" }}x{{ else }}nothing{{ end }}', "nothing"),
        ('{{ index $labels "odd_name" }}', "z"),
        ("{{ $externalURL }} {{ pathPrefix }}", "http://127.0.0.1:8400/base /base"),
        ("{{ externalURL }}", "http://127.0.0.1:8400/base"),
    ],
)
def test_templates_may_query(text: str, expected: str) -> None:
    """``query`` and the functions on its result work; label names may be any text."""
    assert expected == expand(text, DATA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{{ query "none" | first }}', "first() called on vector with no elements"),
        ("{{ $.labels.job }}", "can't evaluate field labels"),
        ("{{ toUpper 1 }}", "wants a string"),
        ("{{ toUpper }}", "does not take 0 arguments"),
        ('{{ reReplaceAll "(" "" "x" }}', "bad regular expression"),
        ("{{ humanize `x` }}", "can't convert"),
    ],
)
def test_a_failing_template_says_so_in_the_text(text: str, said: str) -> None:
    """An alert with a broken text still goes out, and shows why its text is broken."""
    assert expand(text, DATA).startswith("<error expanding template: ")
    assert said in expand(text, DATA)


def test_expansion_is_bounded() -> None:
    """Loops in loops stop at the limit of steps; a long text is cut."""
    labels = {f"l{n}": "x" * 100 for n in range(300)}
    deep = "{{ range $labels }}{{ range $labels }}{{ . }}{{ end }}{{ end }}"
    wide = "{{ range $labels }}{{ . }}{{ end }}"

    assert "too many steps" in expand(deep, TemplateData(labels=labels))
    assert 16_384 == len(expand(wide, TemplateData(labels=labels)))


@pytest.mark.parametrize(
    "text",
    [
        "{{", "{{ }}", "{{ end }}", "{{ if }}{{ end }}", "{{ if 1 }}", "{{ 1 2 }}", "{{ 1 | 2 }}",
        "{{ ( 1 }}", "{{ ) }}", '{{ "a }}', "{{ $nope }}", "{{ nope }}", "{{ template `x` }}",
        "{{ range $a, $b, $c := . }}{{ end }}", "{{ else }}", "{{ $x = 1 }}", "{{ ? }}",
        "{{ " + "(" * 200 + "1" + ")" * 200 + " }}",
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_is_refused(text: str) -> None:
    """A mistake is found when the file is loaded, not when the alert fires."""
    with pytest.raises(TemplateError):
        check_template(text)
