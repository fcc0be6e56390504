"""`configure` observes the process, `shutdown` puts everything back."""

from __future__ import annotations

import http.client
import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from tests.instrument.recorder.collector import collecting

import watchkeeper
from watchkeeper.errors import SettingError
from watchkeeper.instrument import host
from watchkeeper.instrument.configure import configure_softly


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configure nothing before and after; keep the spool in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "WATCHKEEPER_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setitem(os.environ, "WATCHKEEPER_ENDPOINT", "")
    yield
    watchkeeper.shutdown(1.0)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the log lines in *stream*."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fetched(target: str) -> str:
    """Return the metrics of a target, by a client that nobody observes."""
    connection = http.client.HTTPConnection(target, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_one_call_sends_spans_and_logs_and_shows_metrics(tmp_path: Path) -> None:
    """Traces and logs arrive at the endpoint, metrics at the announced target."""
    out = io.StringIO()
    with collecting() as sink:
        runtime = watchkeeper.configure(
            service="shop",
            version="1.2",
            environment="test",
            endpoint=f"http://127.0.0.1:{sink.port}",
            targets_dir=tmp_path / "targets",
            log_stream=out,
        )
        with trace.get_tracer("mine").start_as_current_span("work"):
            watchkeeper.get_logger("shop").info("order.paid", order_id=7)
            logging.getLogger("third").warning("hello")
        assert watchkeeper.flush(10)
        file = tmp_path / "targets" / f"shop-{os.getpid()}.json"
        (target,) = json.loads(file.read_text())
        text = fetched(target["targets"][0])
        assert watchkeeper.shutdown(5)
        spans = sink.spans()
        logs = sink.log_bodies()

    assert ["work"] == [span.name for span in spans]
    assert ["order.paid", "hello"] == logs
    assert {spans[0].trace_id.hex()} == {line["trace_id"] for line in lines(out)}
    assert {("shop", "1.2", "test")} == {
        (line["service"], line["version"], line["environment"]) for line in lines(out)
    }
    assert target["labels"] == {"job": "shop"}
    assert "otel_sdk_span_started_total 1.0" in text
    assert not file.exists()
    assert runtime is not watchkeeper.current()


def test_the_same_settings_give_the_same_runtime() -> None:
    """A second call with equal settings does nothing."""
    first = watchkeeper.configure(service="a")

    assert first is watchkeeper.configure(service="a")
    assert first is watchkeeper.current()
    assert first is host.current()


def test_other_settings_keep_the_first_and_warn() -> None:
    """A second call that disagrees changes nothing and names the differences."""
    out = io.StringIO()
    first = watchkeeper.configure(service="a", log_stream=out)
    second = watchkeeper.configure(service="b", log_stream=out, capture_content=True)

    assert first is second
    assert "(service, capture_content)" in lines(out)[0]["event"]


def test_after_shutdown_it_can_be_configured_anew() -> None:
    """The second runtime's provider takes the first one's place."""
    first = watchkeeper.configure(service="a")
    watchkeeper.shutdown()
    second = watchkeeper.configure(service="b")

    assert first is not second
    assert trace.get_tracer_provider() is second.recorder.tracer_provider


def test_shutdown_puts_everything_back() -> None:
    """Root logger, global provider and host are as they were; calling it twice is fine."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    watchkeeper.configure(service="a", log_level="error")
    during = (list(root.handlers), root.level)
    assert watchkeeper.shutdown()
    assert watchkeeper.shutdown()

    assert during != before
    assert before == (list(root.handlers), root.level)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert host.current() is None
    assert watchkeeper.current() is None


def test_what_was_configured_softly_is_replaced() -> None:
    """The application's own call wins over what was started for it."""
    soft = configure_softly()
    assert soft is configure_softly()
    own = watchkeeper.configure(service="mine")

    assert soft is not own
    assert configure_softly() is own


def test_a_bad_setting_changes_nothing() -> None:
    """An error leaves the process as it was."""
    with pytest.raises(SettingError, match="use 'service'"):
        watchkeeper.configure(srvice="x")  # type: ignore[call-arg]  # the mistake is the point

    assert watchkeeper.current() is None


def test_disabled_means_untouched() -> None:
    """With enabled=False there is a runtime, and nothing global has changed."""
    handlers = list(logging.getLogger().handlers)
    runtime = watchkeeper.configure(enabled=False)

    assert runtime is watchkeeper.current()
    assert handlers == list(logging.getLogger().handlers)
    assert host.current() is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_an_sdk_provider_of_the_application_stays() -> None:
    """Its provider stays global; metrics derive from its spans; one line says so."""
    provider = SdkProvider()
    trace.set_tracer_provider(provider)
    out = io.StringIO()
    try:
        runtime = watchkeeper.configure(service="a", log_stream=out)
        with trace.get_tracer("theirs").start_as_current_span(
            "chat x", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "x"}
        ):
            pass
        text = runtime.metrics.exposition().decode()
    finally:
        watchkeeper.shutdown()
        kept = trace.get_tracer_provider()
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()
        provider.shutdown()

    assert kept is provider
    assert 'gen_ai_request_model="x"' in text
    assert "was set before and stays" in lines(out)[0]["event"]


def test_spans_of_two_providers_are_one_trace_and_are_sent_once() -> None:
    """An SDK provider's spans go to its exporter, ours to the endpoint, with common ids."""
    theirs = InMemorySpanExporter()
    provider = SdkProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    trace.set_tracer_provider(provider)
    try:
        with collecting() as collector:
            watchkeeper.configure(service="a", endpoint=collector.url, log_stream=io.StringIO())
            tracer = trace.get_tracer("theirs")
            with (
                tracer.start_as_current_span("outer"),
                watchkeeper.agent_run("support"),
                tracer.start_as_current_span("inner"),
            ):
                pass
            assert watchkeeper.flush()
            (ours,) = collector.spans()
            watchkeeper.shutdown()
    finally:
        watchkeeper.shutdown()
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()
        provider.shutdown()

    found = [(span.name, span.get_span_context()) for span in theirs.get_finished_spans()]
    (inner, below), (outer, above) = found
    assert ("inner", "invoke_agent support", "outer") == (inner, ours.name, outer)
    assert above is not None
    assert below is not None
    assert int.from_bytes(ours.trace_id) == above.trace_id == below.trace_id
    assert int.from_bytes(ours.parent_span_id) == above.span_id


def test_an_ignored_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad OTEL_ variable costs one line."""
    monkeypatch.setitem(os.environ, "OTEL_BSP_MAX_QUEUE_SIZE", "many")
    out = io.StringIO()
    watchkeeper.configure(service="a", log_stream=out)

    assert "OTEL_BSP_MAX_QUEUE_SIZE is ignored" in lines(out)[0]["event"]


def test_events_follow_the_level() -> None:
    """A named event becomes a line without its absent values, unless its level is too low."""
    out = io.StringIO()
    runtime = watchkeeper.configure(service="a", log_stream=out, log_level="warning")
    runtime.event("http.request", "info", {"http.route": "/"})
    runtime.event("http.request", "error", {"http.route": "/", "error.type": None})

    assert [("http.request", "/", False)] == [
        (line["event"], line["http.route"], "error.type" in line) for line in lines(out)
    ]


async def test_the_loop_is_watched_once() -> None:
    """The lag of the running loop shows; a second call does nothing."""
    runtime = watchkeeper.configure(service="a")
    runtime.start_loop_monitor()
    runtime.start_loop_monitor()

    assert "event_loop_lag_seconds" in runtime.metrics.exposition().decode()


def forked(work: Any) -> int:
    """Run *work* in a forked child and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_counts_from_zero_on_the_page_of_both(tmp_path: Path) -> None:
    """The child repeats nothing of its parent, and one target goes on to show the sum."""
    runtime = watchkeeper.configure(service="shop", targets_dir=tmp_path)
    counter = runtime.metrics.counter("llm.cost").child(("a", "b", "c", "d"))
    counter.inc(5)
    listener = runtime.listener
    assert listener is not None

    def page() -> str:
        (file,) = tmp_path.iterdir()
        (target,) = json.loads(file.read_text())
        return fetched(target["targets"][0])

    def work() -> bool:
        zero = counter.read() == 0.0
        counter.inc(1)
        return zero and 'tenant_id="d"} 6.0' in page()

    port = listener.port

    assert forked(work) == 0
    assert 'tenant_id="d"} 6.0' in page()
    assert port == listener.port
