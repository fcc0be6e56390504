"""What libraries emit through OpenTelemetry's logs API comes out as a log."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs, trace
from opentelemetry._logs import LogRecord, SeverityNumber, _internal
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from tests.instrument.recorder.collector import Collector, collecting

import watchkeeper


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[io.StringIO, Collector]]:
    """Configure with a stream to look at and a collector."""
    monkeypatch.setitem(os.environ, "WATCHKEEPER_SPOOL_DIR", str(tmp_path))
    stream = io.StringIO()
    with collecting() as collector:
        watchkeeper.configure(
            service="s", endpoint=collector.url, log_stream=stream, instrument="none"
        )
        yield stream, collector
        watchkeeper.shutdown(2.0)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines in *stream*."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_becomes_a_line_and_a_record(out: tuple[io.StringIO, Collector]) -> None:
    """Name, body, attributes, time, level and trace of the current span arrive in both."""
    stream, collector = out
    logger = _logs.get_logger("genai")
    with trace.get_tracer("t").start_as_current_span("chat") as span:
        logger.emit(
            timestamp=1_800_000_000_000_000_000,
            severity_number=SeverityNumber.WARN2,
            body={"role": "user", "api_key": "hunter2"},
            attributes={"gen_ai.system": "openai", "password": "hunter2"},
            event_name="gen_ai.user.message",
        )
    assert watchkeeper.flush(5.0)
    (line,) = lines(stream)
    (record,) = collector.logs()
    context = span.get_span_context()

    assert ("gen_ai.user.message", "warning", "genai", "openai") == (
        line["event"], line["level"], line["logger"], line["gen_ai.system"],
    )  # fmt: skip
    assert "hunter2" not in stream.getvalue()
    assert "user" == line["body"]["role"]
    assert line["time"].startswith("2027-01-15T08:00:00")
    assert f"{context.trace_id:032x}" == line["trace_id"] == record.trace_id.hex()
    assert ("gen_ai.user.message", 13) == (record.event_name, record.severity_number)
    assert b"hunter2" not in collector.accepted("/v1/logs")[0]


def test_a_record_object_keeps_its_own_context(out: tuple[io.StringIO, Collector]) -> None:
    """The ids come from the record's context, and its exception is shown with its frames."""
    stream, _ = out
    parent = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    context = set_span_in_context(NonRecordingSpan(parent))
    error = ValueError("no")
    _logs.get_logger("lib").emit(LogRecord(context=context, body="failed", exception=error))
    (line,) = lines(stream)

    assert ("failed", f"{7:032x}", "ValueError") == (
        line["event"],
        line["trace_id"],
        line["exception"]["type"],
    )
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (None, "info"), (SeverityNumber.UNSPECIFIED, "info"), (SeverityNumber.INFO4, "info"),
        (SeverityNumber.WARN, "warning"), (SeverityNumber.ERROR3, "error"),
        (SeverityNumber.FATAL4, "critical"),
    ],
)  # fmt: skip
def test_severities_become_levels(
    out: tuple[io.StringIO, Collector], severity: SeverityNumber | None, level: str
) -> None:
    """The 24 numbers fall into five levels; none given means info."""
    _logs.get_logger("lib").emit(severity_number=severity, body="x")

    assert [level] == [line["level"] for line in lines(out[0])]


def test_levels_of_the_standard_library_count(out: tuple[io.StringIO, Collector]) -> None:
    """A logger's name is asked for its level as if it were one of `logging`."""
    logger = _logs.get_logger("quiet.library")
    logging.getLogger("quiet").setLevel("ERROR")
    try:
        logger.emit(severity_number=SeverityNumber.WARN, body="x")
        assert not logger.enabled(severity_number=SeverityNumber.WARN)
        assert logger.enabled(severity_number=SeverityNumber.ERROR)
    finally:
        logging.getLogger("quiet").setLevel("NOTSET")
    logger.emit(severity_number=SeverityNumber.DEBUG, body="below the threshold")

    assert "" == out[0].getvalue()


def test_the_global_provider_is_given_back() -> None:
    """A logger made before `configure` and kept writes after a second one, too."""
    early = _logs.get_logger("early")
    for number in range(2):
        stream = io.StringIO()
        watchkeeper.configure(endpoint="", log_stream=stream, instrument="none")
        early.emit(body=f"round {number}")
        watchkeeper.shutdown(1.0)
        assert [f"round {number}"] == [line["event"] for line in lines(stream)]
    assert _internal._LOGGER_PROVIDER is None
