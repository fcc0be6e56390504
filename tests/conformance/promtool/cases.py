"""Unit-test files of our own, each about one behaviour of promtool's format."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CASES", "Case"]


class Case(NamedTuple):
    """One test file and its rules."""

    name: str
    tests: str
    rules: str = ""
    newer: int | None = None
    """The exit code that is right, where Debian's promtool is too old for the file."""
    reason: str = ""
    """Why that promtool is too old."""


def expr(text: str, wanted: str, *, at: str = "0m", series: str = "[]", head: str = "") -> str:
    """Return a test file that asks one expression."""
    return (
        f"rule_files: [rules.yml]\n{head}tests:\n- interval: 1m\n  input_series: {series}\n"
        f"  promql_expr_test:\n  - expr: '{text}'\n    eval_time: {at}\n    exp_samples: {wanted}\n"
    )


def values(run: str, text: str, wanted: str, at: str = "5m") -> str:
    """Return a test file about one series ``m``."""
    series = f"[{{series: 'm{{job=\"api\"}}', values: '{run}'}}]"
    return expr(text, wanted, at=at, series=series)


def alerts(run: str, checks: str, *, head: str = "", more: str = "", extra: str = "") -> str:
    """Return a test file about the alerts of ``m``."""
    return (
        f"rule_files: ['rul*.yml']\n{head}tests:\n- interval: 1m\n"
        f"  input_series: [{{series: 'm{{job=\"api\"}}', values: '{run}'}}{more}]\n{extra}"
        f"  alert_rule_test:\n{checks}"
    )


def firing(at: str, wanted: str, name: str = "Hot") -> str:
    """Return one item of ``alert_rule_test``."""
    return f"  - {{eval_time: {at}, alertname: {name}, exp_alerts: {wanted}}}\n"


HOT = """
groups:
- name: one
  rules:
  - record: job:m:double
    expr: m * 2
    labels: {kind: double}
  - alert: Hot
    expr: job:m:double > 10
    for: 2m
    labels: {severity: page, level: '{{ if gt $value 20.0 }}high{{ else }}low{{ end }}'}
    annotations:
      summary: '{{ $labels.job }} is at {{ $value }}'
"""
_HOT = (
    "[{exp_labels: {severity: page, level: LEVEL, job: api, kind: double}, "
    "exp_annotations: {summary: api is at VALUE}}]"
)


def hot(level: str, value: str) -> str:
    """Return the expected alert of `HOT`."""
    return _HOT.replace("LEVEL", level).replace("VALUE", value)


TEXTS = """
groups:
- name: one
  rules:
  - alert: Texts
    expr: m > 0
    annotations:
      where: '{{ $externalURL }} {{ $externalLabels.region }}'
      other: '{{ with query "sum(n)" }}{{ . | first | value | humanize }}{{ end }}'
      empty: ''
      percent: '{{ $value | humanizePercentage }} {{ printf "%.2f" $value }}'
"""
_TEXTS = (
    "[{exp_labels: {job: api}, exp_annotations: {where: 'http://w.example eu', "
    "other: 1.234k, empty: '', percent: '50% 0.50'}}]"
)
KEEP = """
groups:
- name: one
  rules:
  - alert: Hot
    expr: m > 5
    keep_firing_for: 3m
"""
TWICE = """
groups:
- name: late
  rules: [{record: b, expr: a + 1}]
- name: early
  rules: [{record: a, expr: m + 1}]
"""
SAME_NAME = """
groups:
- name: one
  rules: [{alert: Hot, expr: m > 1, labels: {g: one}}]
- name: two
  rules: [{alert: Hot, expr: m > 2, labels: {g: two}}]
"""
JOB = "[{labels: '{job=\"api\"}', value: VALUE}]"
M = "[{labels: 'm{job=\"api\"}', value: VALUE}]"


def one(template: str, value: str) -> str:
    """Return one expected sample."""
    return template.replace("VALUE", value)


CASES: tuple[Case, ...] = (
    Case("an alert waits for its for", alerts("9x10", firing("1m", "[]")
         + firing("2m", hot("low", "18"))), HOT),
    Case("an alert is not firing early", alerts("9x10", firing("1m", hot("low", "18"))), HOT),
    Case("an alert that is not expected", alerts("9x10", firing("3m", "[]")), HOT),
    Case("another annotation", alerts("9x10", firing("3m", hot("low", "19"))), HOT),
    Case("another label", alerts("9x10", firing("3m", hot("high", "18"))), HOT),
    Case("labels that follow the value", alerts("9 9 9 9 99x9", firing("3m", hot("low", "18"))
         + firing("6m", hot("high", "198"))), HOT),
    Case("times between evaluations", alerts("9x10", firing("1m59s", "[]")
         + firing("2m1s", hot("low", "18"))), HOT),
    Case("times out of order", alerts("9x3 0x9", firing("9m", "[]")
         + firing("2m", hot("low", "18"))), HOT),
    Case("an alert that nobody declares", alerts("9x3", firing("2m", "[]", "Cold")), HOT),
    Case("an alert without a name", alerts("9x3", "  - {eval_time: 2m, exp_alerts: []}\n"), HOT),
    Case("an alert twice expected", alerts("9x10", firing("3m", hot("low", "18")[:-1] + ", "
         + hot("low", "18")[1:])), HOT),
    Case("a resolved alert", alerts("9 9 9 9 0x9", firing("3m", hot("low", "18"))
         + firing("4m", "[]")), HOT),
    Case("a gap within the lookback", alerts("9 9 9 _ _ _", firing("5m", hot("low", "18"))), HOT),
    Case("stale ends an alert", alerts("9 9 9 stale", firing("2m", hot("low", "18"))
         + firing("3m", "[]")), HOT),
    Case("keep_firing_for holds", alerts("9 9 0x9", firing("4m", "[{exp_labels: {job: api}}]")
         + firing("5m", "[]")), KEEP),
    Case("keep_firing_for ends", alerts("9 9 0x9", firing("6m", "[{exp_labels: {job: api}}]")),
         KEEP),
    Case("texts", alerts("0.5x3", firing("1m", _TEXTS, "Texts"), more=", {series: n, values: "
         "'1234x5'}", extra="  external_labels: {region: eu}\n"
         "  external_url: http://w.example\n"), TEXTS),
    Case("an empty annotation counts", alerts("0.5x3", firing("1m", _TEXTS.replace("empty: '', ",
         ""), "Texts"), more=", {series: n, values: '1234x5'}",
         extra="  external_labels: {region: eu}\n  external_url: http://w.example\n"), TEXTS),
    Case("one name in two groups", alerts("9x3", firing("1m", "[{exp_labels: {job: api, g: two}}, "
         "{exp_labels: {job: api, g: one}}]")), SAME_NAME),
    Case("one of two groups only", alerts("2x3", firing("1m", "[{exp_labels: {job: api, g: one}}]")
         ), SAME_NAME),
    Case("groups in the order given", expr("b", one(JOB, "3").replace("'{", "'b{"), at="0m",
         series="[{series: 'm{job=\"api\"}', values: '1x5'}]",
         head="group_eval_order: [early, late]\n"), TWICE),
    Case("groups in another order", expr("b", one(JOB, "3").replace("'{", "'b{"), at="0m",
         series="[{series: 'm{job=\"api\"}', values: '1x5'}]",
         head="group_eval_order: [late, early]\n"), TWICE),
    Case("a group twice in the order", expr("vector(1)", "[{value: 1}]",
         head="group_eval_order: [late, late]\n"), TWICE),
    Case("a chain within a group", values("1x5", "job:m:double", "[{labels: "
         "'job:m:double{job=\"api\",kind=\"double\"}', value: 2}]", "0m"), HOT),
    Case("ALERTS", values("9x5", 'ALERTS{alertname="Hot"}', "[{labels: 'ALERTS{alertname=\"Hot\","
         "alertstate=\"firing\",job=\"api\",kind=\"double\",level=\"low\",severity=\"page\"}', "
         "value: 1}]", "2m"), HOT),
    Case("ALERTS_FOR_STATE", values("0 0 9x5", "max(ALERTS_FOR_STATE)", "[{value: 120}]", "3m"),
         HOT),
    Case("a run", values("1+2x4", "m", one(M, "9"), "4m")),
    Case("a run down", values("1-2x4", "m", one(M, "-7"), "4m")),
    Case("a run of one value", values("3x4", "count_over_time(m[10m])", one(JOB, "5"), "9m")),
    Case("a run ends", values("3x2", "count_over_time(m[10m])", one(JOB, "4"), "9m")),
    Case("gaps", values("1 _x3 5", "count_over_time(m[10m])", one(JOB, "2"), "4m")),
    Case("gaps shift", values("1 _x3 5", "timestamp(m)", one(JOB, "240"), "4m")),
    Case("fractions add up as they do", values("0.1+0.1x5", "m",
         one(M, "0.6"), "5m")),
    Case("exponents", values("1e3 -2.5e-1+1x2", "m", one(M, "1.75"), "3m")),
    Case("infinity", values("Inf -Inf +inf", "m", one(M, ".inf"), "2m")),
    Case("a NaN equals nothing", values("NaN", "m", one(M, ".nan"), "0m")),
    Case("a NaN word as a value", values("1", "m", one(M, "NaN"), "0m")),
    Case("a word that is no value", values("1 two 3", "m", one(M, "1"), "0m")),
    Case("a word with a count", values("stalex3", "m", "[]", "0m")),
    Case("infinity with a count", values("Infx3", "m", one(M, ".inf"), "0m")),
    Case("spaces in a run", values("1 + 2 x 3", "m", one(M, "1"), "0m")),
    Case("a step without a count", values("1+2", "m", one(M, "1"), "0m")),
    Case("a hexadecimal value", values("0x10", "m", one(M, "0"), "9m")),
    Case("a count that is a fraction", values("1x2.5", "m", one(M, "1"), "0m")),
    Case("no values", values("", "m", "[]", "0m")),
    Case("two spaces between values", values("1   2", "m", one(M, "2"), "1m")),
    Case("a series without a brace", expr("vector(1)", "[{value: 1}]",
         series="[{series: 'm{a=\"b\"', values: '1'}]")),
    Case("a series with a trailing comma", expr("m", "[{labels: 'm{a=\"b\"}', value: 1}]",
         series="[{series: 'm{a=\"b\",}', values: '1'}]")),
    Case("a label without quotes", expr("m", "[]", series="[{series: 'm{a=b}', values: '1'}]")),
    Case("escapes in a label", expr("m", "[{labels: 'm{a=\"x\\\\ny\"}', value: 1}]",
         series="[{series: 'm{a=\"x\\\\ny\"}', values: '1'}]").replace("\\\\", "\\")),
    Case("a series without a name", expr('{a="b"}', "[{labels: '{a=\"b\"}', value: 1}]",
         series="[{series: '{a=\"b\"}', values: '1'}]")),
    Case("expected labels that are no metric", values("1", "m", "[{labels: 'm{', value: 1}]",
         "0m")),
    Case("expected labels in another order", expr("m", "[{labels: 'm{b=\"2\",a=\"1\"}', value: 1}]",
         series="[{series: 'm{a=\"1\",b=\"2\"}', values: '1'}]")),
    Case("samples in another order", expr("m", "[{labels: 'm{a=\"2\"}', value: 2}, "
         "{labels: 'm{a=\"1\"}', value: 1}]", series="[{series: 'm{a=\"1\"}', values: '1'}, "
         "{series: 'm{a=\"2\"}', values: '2'}]")),
    Case("one sample too many", values("1x3", "m or vector(1)", one(M, "1"), "0m")),
    Case("a missing sample", values("1x3", "m", "[]", "0m")),
    Case("no expected samples", values("1x3", "absent(m)", "[]", "0m")),
    Case("a scalar", expr("1 + 1", "[{value: 2}]")),
    Case("a string", expr('"text"', "[]")),
    Case("a range vector", values("1x3", "m[5m]", "[]", "3m")),
    Case("an expression that is none", expr("sum(", "[]")),
    Case("an expression that fails", expr("m + on(a) m", "[]",
         series="[{series: 'm{a=\"1\",b=\"2\"}', values: '1'}, "
         "{series: 'm{a=\"1\",b=\"3\"}', values: '1'}]")),
    Case("the future is not known yet", values("1x3 9x9", "m offset -4m", one(M, "1"), "2m")),
    Case("input beyond the last evaluation is not seen", expr("m", "[{labels: m, value: 0}]",
         at="1m30s", series="[{series: m, values: '0 1 2 3'}]").replace("interval: 1m",
         "interval: 30s").replace("tests:", "evaluation_interval: 1m\ntests:")),
    Case("a sample at a moment between", values("1 2 3", "timestamp(m)", one(JOB, "60"), "1m59s")),
    Case("at", values("1 2 3", "m @ 60", one(M, "2"), "2m")),
    Case("time", expr("time()", "[{value: 300}]", at="5m")),
    Case("a subquery steps as evaluations do", expr("count_over_time(vector(1)[10m:])",
         "[{value: 20}]", at="10m", head="evaluation_interval: 30s\n"), "", 0,
         "windows leave out a sample at their very start since Prometheus 3"),
    Case("an evaluation every hour", values("1+1x120", "job:m:double", "[{labels: "
         "'job:m:double{job=\"api\",kind=\"double\"}', value: 122}]", "1h4m").replace("tests:",
         "evaluation_interval: 1h\ntests:"), HOT),
    Case("evaluation past the lookback", values("1+1x120", "job:m:double", "[]", "1h6m").replace(
         "tests:", "evaluation_interval: 1h\ntests:"), HOT),
    Case("a recorded series ends", values("9 9 stale", "job:m:double", "[]", "3m"), HOT),
    Case("a rule that fails", values("1x5", "vector(1)", "[{value: 1}]", "0m"),
         "groups:\n- name: g\n  rules: [{record: x, expr: m + on() group_left() (n or o)}]\n"),
    Case("a rule over its limit", alerts("1x5", firing("1m", "[]", "Many"), more=", {series: "
         "'m{job=\"b\"}', values: '1x5'}"), "groups:\n- name: g\n  limit: 1\n"
         "  rules: [{alert: Many, expr: m}]\n"),
    Case("two rules, one series", values("1x5", "vector(1)", "[{value: 1}]", "0m"),
         "groups:\n- name: g\n  rules: [{record: x, expr: m}, {record: x, expr: m * 2}]\n"),
    Case("two rules, one series, one value", values("1x5", "x", "[{labels: 'x{job=\"api\"}', "
         "value: 1}]", "1m"),
         "groups:\n- name: g\n  rules: [{record: x, expr: m}, {record: x, expr: m * 1}]\n"),
    Case("a rule that gives a matrix", values("1x5", "vector(1)", "[{value: 1}]", "0m"),
         "groups:\n- name: g\n  rules: [{record: x, expr: 'm[5m]'}]\n"),
    Case("a scalar rule", values("1x5", "x", "[{labels: x, value: 3}]", "0m"),
         "groups:\n- name: g\n  rules: [{record: x, expr: 1 + 2}]\n"),
    Case("a rule file that is not there", values("1x5", "m", one(M, "1"), "0m").replace(
         "rules.yml", "gone-*.yml")),
    Case("an unknown field", values("1x5", "m", one(M, "1"), "0m").replace("interval:", "every:")),
    Case("a key twice", "evaluation_interval: 1m\nevaluation_interval: 2m\n"),
    Case("an empty file", ""),
    Case("no YAML", "tests: ["),
    Case("a list", "- tests\n"),
    Case("tests that are no list", "tests: {a: 1}\n"),
    Case("a bad duration", values("1x5", "m", one(M, "1"), "5 minutes")),
    Case("a value that is no number", values("1x5", "m", one(M, "one"), "0m")),
    Case("values as a number", "tests:\n- input_series: [{series: m, values: 7}]\n"
         "  promql_expr_test: [{expr: m, exp_samples: [{labels: m, value: 7}]}]\n"),
    Case("values over two lines, folded", "tests:\n- interval: 1m\n  input_series:\n  - series: m\n    values: >-\n"
         "      1 2\n      3\n"
         "  promql_expr_test: [{expr: m, eval_time: 2m, exp_samples: [{labels: m, value: 3}]}]\n"),
    Case("values over two lines, kept", "tests:\n- interval: 1m\n  input_series:\n  - series: m\n    values: |-\n"
         "      1 2\n      3\n"
         "  promql_expr_test: [{expr: m, eval_time: 2m, exp_samples: [{labels: m, value: 3}]}]\n"),
    Case("a series twice", "tests:\n- input_series: [{series: m, values: '1 2'}, "
         "{series: m, values: '3 4'}]\n"
         "  promql_expr_test: [{expr: m, exp_samples: [{labels: m, value: 1}]}]\n"),
    Case("no interval", "evaluation_interval: 10s\ntests:\n- input_series: [{series: m, values: "
         "'0+1x9'}]\n  promql_expr_test: [{expr: m, eval_time: 50s, exp_samples: "
         "[{labels: m, value: 5}]}]\n", "", 0, "a test without interval takes evaluation_interval"),
    Case("a bad rule file", values("1x5", "m", one(M, "1"), "0m"), "groups: 5\n"),
    Case("a bad rule file without tests", "rule_files: [rules.yml]\n", "groups: 5\n"),
    Case("a start", values("1x9", "timestamp(m)", one(JOB, "1767225660"), "1m").replace(
         "- interval: 1m", "- interval: 1m\n  start_timestamp: 2026-01-01T00:00:00Z"), "", 0, "start_timestamp"),
    Case("a start that is no moment", values("1x9", "m", "[]").replace(
         "- interval: 1m", "- interval: 1m\n  start_timestamp: tomorrow"), "", 1, "start_timestamp"),
    Case("fuzzy", values("2.9999999999999996", "m", one(M, "3"), "0m").replace("tests:",
         "fuzzy_compare: true\ntests:"), "", 0, "fuzzy_compare"),
    Case("not fuzzy enough", values("2.999999999999", "m", one(M, "3"), "0m").replace("tests:",
         "fuzzy_compare: true\ntests:"), "", 1, "fuzzy_compare"),
    Case("labels of a group", values("1x5", "x", "[{labels: 'x{job=\"api\",team=\"a\"}', value: 1}]",
         "0m"), "groups:\n- name: g\n  labels: {team: a}\n  rules: [{record: x, expr: m}]\n", 0, "labels of a group"),
    Case("an offset of a group", values("0+1x9", "timestamp(x)", one(JOB, "180"), "5m"),
         "groups:\n- name: g\n  query_offset: 2m\n  rules: [{record: x, expr: m}]\n", 0, "query_offset of a group"),
    Case("a native histogram", values("{{sum:3 count:2 buckets:[2]}}x2", "m", "[]", "1m"), "", 1, "native histograms, which watchkeeper does not store either"),
    Case("a name in UTF-8", expr("vector(1)", "[{value: 1}]",
         series="[{series: '{\"m.one\", \"a.b\"=\"c\"}', values: '1'}]"), "", 0, "UTF-8 names"),
)  # fmt: skip
