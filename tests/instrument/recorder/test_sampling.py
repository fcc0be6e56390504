"""Ratios, rules and exclusions at the start of traces; metrics that do not depend on them."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.util.types import AnyValue
from tests.instrument.recorder.collector import spans_of
from tests.instrument.rig import HandClock

from watchkeeper.errors import SettingError
from watchkeeper.instrument.derive import Derived
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.metrics.pipeline import register_pipeline_metrics
from watchkeeper.instrument.recorder import (
    HeadSampler,
    MemoryExporter,
    RandomIds,
    Recorder,
    Rules,
    TailSampler,
)
from watchkeeper.instrument.recorder.span import EXCLUDED

HIGH = (1 << 64) - 1
SERVER, CONSUMER, INTERNAL = SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.INTERNAL


def request(path: str, method: str = "GET") -> dict[str, AnyValue]:
    """Return the attributes of a request at its start."""
    return {"http.request.method": method, "url.path": path}


@pytest.mark.parametrize("ratio", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_the_ratio_is_opentelemetrys(ratio: float) -> None:
    """The same ids are kept as by ``traceidratio``, to the bit."""
    ours, theirs = HeadSampler(ratio), TraceIdRatioBased(ratio)
    numbers = random.Random(7)  # noqa: S311 - a test
    bound = round(ratio * 2**64)
    ids = [numbers.getrandbits(128) for _ in range(500)] + [bound, max(bound - 1, 0), HIGH]
    for trace_id in ids:
        kept = theirs.should_sample(None, trace_id, "x").decision is Decision.RECORD_AND_SAMPLE
        assert kept == bool(ours.sample(trace_id, None, "x", INTERNAL, {}))


@pytest.mark.parametrize(
    ("name", "kind", "attributes", "ratio"),
    [
        ("GET", SERVER, request("/orders"), 0.0),
        ("POST", SERVER, request("/orders", "POST"), 1.0),
        ("GET", SERVER, request("/orders/7"), 0.25),
        ("GET", SERVER, request("/orders/7/lines"), 0.125),
        ("GET", SERVER, request("/files/a/b.txt"), 0.5),
        ("GET", SERVER, request("/a.b"), 0.0625),
        ("GET", SERVER, request("/aXb"), 0.03125),
        ("job nightly", CONSUMER, {}, 0.75),
        ("job hourly", CONSUMER, {}, 0.375),
        ("invoke_agent x", INTERNAL, {}, 0.625),
        ("anything", INTERNAL, {}, 0.03125),
    ],
)
def test_the_first_rule_that_matches_counts(
    name: str, kind: SpanKind, attributes: Mapping[str, AnyValue], ratio: float
) -> None:
    """Patterns see names, kinds, paths and methods; templates match the paths below them."""
    rules = Rules(
        [
            ("GET /orders", 0.0),
            ("/orders", 1.0),
            ("GET /orders/{id}", 0.25),
            ("/orders/*", 0.125),
            ("/files/{rest:path}", 0.5),
            ("/a.b", 0.0625),
            ("job nightly", 0.75),
            ("kind:consumer", 0.375),
            ("invoke_agent *", 0.625),
            ("*", 0.03125),
        ]
    )
    for _ in "ab":  # the second time from the cache
        assert round(ratio * 2**64) == rules.bound(name, kind, attributes)


def test_a_route_is_matched_by_its_own_template() -> None:
    """Once the route is known the path does not count."""
    rules = Rules([("/orders/{id}", 1.0), ("*", 0.0)])
    attributes = request("/orders/new")
    assert 0 == rules.bound("GET /orders/new/{x}", SERVER, attributes, "/orders/new/{x}")
    assert 1 << 64 == rules.bound("GET /orders/{id}", SERVER, attributes, "/orders/{id}")


def test_without_a_rule_the_ratio_counts() -> None:
    """A rule replaces the ratio for what it matches only."""
    head = HeadSampler(0.0, rules=Rules([("job *", 1.0)]))
    assert (1, 0) == (
        head.sample(HIGH, None, "job x", CONSUMER, {}),
        head.sample(1, None, "other", INTERNAL, {}),
    )


def test_a_ratio_out_of_range_is_refused() -> None:
    """The error names the rule."""
    with pytest.raises(SettingError, match=r"job=1\.5"):
        Rules([("job", 1.5)])
    with pytest.raises(SettingError, match="ratio"):
        HeadSampler(-0.1)


def test_a_caller_is_followed_unless_told_otherwise() -> None:
    """A sampler without ``parentbased`` asks its ratio whatever the caller decided."""
    follows, own = HeadSampler(0.0), HeadSampler(0.0, follow_parent=False)
    assert (1, 0) == tuple(head.sample(1, True, "GET", SERVER, {}) for head in (follows, own))


def test_an_excluded_path_is_never_traced() -> None:
    """Not for a caller that traces its health checks either; failures are left out as well."""
    head = HeadSampler(1.0, excluded=["/healthz"])
    assert [EXCLUDED] * 2 == [
        head.sample(1, sampled, "GET", SERVER, request("/healthz")) for sampled in (None, True)
    ]
    assert [1] == [head.sample(1, None, "GET", SERVER, request("/healthz/x"))]


class Program:
    """The same work under different sampling, with its metrics."""

    def __init__(self, ratio: float, *, tail: bool) -> None:
        clock = self.clock = HandClock()
        self.exporter = MemoryExporter()
        self.recorder = Recorder(
            {},
            clock=clock,
            ids=RandomIds(),
            exporter=self.exporter,
            sampler=HeadSampler(ratio, excluded=["/healthz"]),
            tail=TailSampler(monotonic_ns=clock.monotonic_ns) if tail else None,
        )
        self.metrics = MetricSet(clock=clock, include_prometheus_client=False)
        self.recorder.add_end_hook(Derived(self.metrics), "derive")
        register_pipeline_metrics(self.metrics, self.recorder.stats)

    def run(self) -> None:
        """Serve 300 requests, some failing, some slow, some health checks."""
        start = self.recorder.start
        for number in range(300):
            path = "/healthz" if number % 10 == 0 else f"/orders/{number}"
            root = start("GET", SERVER, request(path))
            tracer = self.recorder.tracer_provider.get_tracer("t")
            within = set_span_in_context(root)
            query = tracer.start_span(
                "SELECT", within, SpanKind.CLIENT, {"db.system.name": "sqlite"}
            )
            self.clock.advance(0.001 * (1 + number % 7))
            query.end()
            chat = start(
                "chat",
                SpanKind.CLIENT,
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "p",
                    "gen_ai.request.model": f"m{number % 3}",
                    "gen_ai.usage.input_tokens": number,
                },
                within,
            )
            self.clock.advance(1.0 if number % 97 == 0 else 0.01)
            chat.end()
            status = 500 if number % 50 == 7 else 200
            root.set_attribute("http.response.status_code", status)
            if path != "/healthz":
                root.set_attribute("http.route", "/orders/{id}")
                root.update_name("GET /orders/{id}")
            if status == 500:
                root.set_status(StatusCode.ERROR)
            root.end()
        assert self.recorder.flush()

    def exported(self) -> int:
        """Return the number of exported spans."""
        return sum(len(spans_of(body)) for body in self.exporter.bodies("traces"))

    def samples(self, *, ours: bool) -> dict[str, float]:
        """Return every sample, of the application's metrics or of our own pipeline's."""
        lines = self.metrics.exposition().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        own = ("watchkeeper_", "otel_sdk_")
        return {name: float(value) for name, value in pairs if name.startswith(own) == ours}


def test_metrics_do_not_depend_on_sampling() -> None:
    """The application's metrics are equal at every ratio, with and without the tail decision."""
    programs = [Program(ratio, tail=tail) for ratio in (1.0, 0.1, 0.0) for tail in (False, True)]
    for program in programs:
        program.run()
    first = programs[0].samples(ours=False)
    assert 300.0 == sum(
        value
        for name, value in first.items()
        if name.startswith("http_server_request_duration_seconds_count")
    )
    for program in programs[1:]:
        assert first == program.samples(ours=False)


@pytest.mark.parametrize("ratio", [1.0, 0.1, 0.0])
def test_every_span_is_accounted_for(ratio: float) -> None:
    """Exported and left out add up to what ended, by reason, and sampling is no loss."""
    program = Program(ratio, tail=True)
    program.run()
    samples = program.samples(ours=True)

    left_out = {
        name.split('"')[1]: value
        for name, value in samples.items()
        if name.startswith("watchkeeper_telemetry_sampled_out_total")
    }
    assert 900.0 == program.exported() + sum(left_out.values())
    assert 90.0 == left_out["excluded"]
    assert [] == [name for name in samples if name.startswith("watchkeeper_telemetry_dropped")]
    processed = [v for name, v in samples.items() if "processor_span_processed_total" in name]
    assert [float(program.exported())] == processed
    kept = sum(v for name, v in samples.items() if name.startswith("watchkeeper_sampling_kept"))
    assert (kept == 0) == (ratio == 1.0)


def test_an_exemplar_never_points_to_a_trace_that_was_left_out() -> None:
    """Every exemplar's trace is exported, at any ratio; without a tail only sampled ones show."""
    for ratio, tail in ((0.0, True), (0.1, True), (0.1, False)):
        program = Program(ratio, tail=tail)
        program.run()
        bodies = program.exporter.bodies("traces")
        exported = {span.trace_id for body in bodies for span in spans_of(body)}
        body, _ = program.metrics.scrape("application/openmetrics-text; version=1.0.0")
        shown = [
            line.partition('trace_id="')[2].partition('"')[0]
            for line in body.decode().splitlines()
            if 'trace_id="' in line
        ]
        assert tail <= bool(shown)
        assert [] == [one for one in shown if bytes.fromhex(one) not in exported]
