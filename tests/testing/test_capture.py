"""Telemetry is captured in memory as it would have been exported."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.corpora import corpus

from watchkeeper import agent_run, get_logger, llm_call, tool_call
from watchkeeper.instrument import redaction
from watchkeeper.instrument.logs.logger import routed
from watchkeeper.testing import EmbeddedServer, FixedClock, capture


def test_spans_logs_and_metrics_of_an_agent_run_are_captured() -> None:
    """A run, its model call and its tool call give one trace, log events and exact metrics."""
    clock = FixedClock()
    with capture(clock, service="shop") as telemetry:
        with agent_run("support", tenant_id="acme"):
            with llm_call(provider="openai", model="gpt-4o-mini") as call:
                clock.advance(0.5)
                call.record_usage(100, 20)
            with tool_call("search"):
                clock.advance(0.25)
        model, tool, run = telemetry.spans

        assert ["chat gpt-4o-mini", "execute_tool search", "invoke_agent support"] == [
            model.name, tool.name, run.name,
        ]  # fmt: skip
        assert {run.span_id} == {model.parent_id, tool.parent_id}
        assert 750_000_000 == run.end_ns - run.start_ns
        assert {"llm.call", "agent.run"} <= {record.body for record in telemetry.logs}
        assert {run.trace_id} == {record.trace_id for record in telemetry.logs}
        assert 100.0 == telemetry.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input")
        assert 1.0 == telemetry.metric("gen_ai_invoke_agent_duration_seconds_count")


def test_an_error_is_captured_and_passes_through() -> None:
    """The application's exception is not swallowed, and marks the span."""
    with capture() as telemetry:
        with pytest.raises(LookupError), tool_call("fetch"):
            raise LookupError("nobody")

        (span,) = telemetry.spans
        assert span.failed
        assert "LookupError" in span.attributes["error.type"]


def test_lines_are_captured_under_the_settings_of_the_capture() -> None:
    """Loggers made before write into the capture, by its own rules and levels, and back afterwards."""
    log = get_logger("shop")
    way = routed()
    rules = {"voucher": "VC-[A-Z0-9]{10}"}
    with capture(redact_patterns=rules, log_level="warning") as telemetry:
        log.info("not this")
        log.warning("used VC-7H2K9QX4MB", order_id=17)
        (line,) = telemetry.logs
        assert "used x" == redaction.cut("used x", 100)
        assert "VC-" not in redaction.cut("used VC-7H2K9QX4MB " * 20, 30)

    assert ("used [redacted:voucher]", 17) == (line.body, line.attributes["order_id"])
    assert way == routed()
    assert "VC-7H" in redaction.cut("used VC-7H2K9QX4MB " * 20, 30)


def test_an_embedded_server_answers_on_its_url(tmp_path: Path) -> None:
    """The server in the test's process takes a trace and gives it back."""
    body = (corpus("otlp-examples") / "trace.json").read_bytes()
    with EmbeddedServer(tmp_path, clock=FixedClock(1_544_712_700_000_000_000)) as embedded:
        taken = httpx.post(
            f"{embedded.url}/v1/traces", content=body, headers={"Content-Type": "application/json"}
        )
        found = httpx.get(f"{embedded.url}/api/traces/5b8efff798038103d269b633813fc60c").json()

    assert (200, {}) == (taken.status_code, taken.json())
    assert "I'm a server span" == found["batches"][0]["scopeSpans"][0]["spans"][0]["name"]
