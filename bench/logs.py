"""Cost of one log line with its OTLP record, beside structlog and the standard library.

Prints one line per variant and, last, all figures as JSON (microseconds of CPU per line, best of rounds).
The spans, the sink (/dev/null) and the fields are the same for every variant.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import structlog
from opentelemetry import trace

from watchkeeper.clock import SystemClock
from watchkeeper.instrument import context
from watchkeeper.instrument.logs import LEVELS, StdlibLogging, get_logger, route
from watchkeeper.instrument.logs.file import LogFile
from watchkeeper.instrument.recorder import LogFields, MemoryExporter
from watchkeeper.instrument.runtime import Runtime, build
from watchkeeper.instrument.settings import load

ROUNDS, LINES = 5, 20_000


def best_us(write: Callable[[int], None], lines: int = LINES) -> float:
    """Return the best of several rounds, in microseconds for one call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for number in range(lines):
            write(number)
        rounds.append((time.thread_time() - start) / lines * 1e6)
    return round(min(rounds), 2)


class JsonFormatter(logging.Formatter):
    """What many applications write by hand."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        fields = {"time": record.created, "level": record.levelname, "event": record.getMessage()}
        fields |= {"order_id": record.__dict__.get("order_id")}
        return orjson.dumps(fields).decode()


def peers(devnull: Any) -> dict[str, float]:
    """Measure structlog and the standard library as they are usually set up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.BytesLoggerFactory(devnull.buffer),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger()
    handler = logging.StreamHandler(devnull)
    handler.setFormatter(JsonFormatter())
    plain = logging.getLogger("bench")
    plain.addHandler(handler)
    plain.propagate = False
    plain.setLevel(logging.INFO)
    figures = {
        "structlog_orjson_us": best_us(
            lambda n: log.info("order.paid", order_id=n, amount=12.5, currency="EUR", paid=True)
        ),
        "stdlib_json_us": best_us(
            lambda n: plain.info("order.paid", extra={"order_id": n, "amount": 12.5})
        ),
    }
    plain.removeHandler(handler)
    plain.propagate = True
    structlog.reset_defaults()
    return figures


def to_file(runtime: Runtime, write: Callable[[int], None]) -> float:
    """Measure our line with its record, written to a log file that is set aside now and then too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.log")
        file = LogFile(path, bytes_max=10_000_000, period_s=0, lost=lambda: None)
        runtime.logs._file = file.write  # noqa: SLF001 - the rest of the pipeline stays the same
        figure = best_us(write)
        runtime.logs._file = None  # noqa: SLF001 - as above
        file.close()
    return figure


def ours(devnull: Any) -> dict[str, float]:
    """Measure our line, alone, with its record, and through ``logging``."""
    # A bench is a flood; its lines are to be written, at the cost of being counted.
    settings = load(
        {
            "service": "bench",
            "log_stream": devnull,
            "log_format": "json",
            "log_burst_lines_max": 10**9,
            "log_levels": {"sqlalchemy.engine": "warning"},
        },
        {},
    )
    runtime = build(settings, clock=SystemClock(), exporter=MemoryExporter())
    # Queueing is measured; encoding happens on the exporter's thread and has its own benchmark.
    kept: list[LogFields] = []
    runtime.logs._emit = kept.append  # noqa: SLF001 - the exporter's thread would disturb the figures
    bridge = StdlibLogging()
    route(runtime.logs, runtime.log_system.thresholds)
    log = get_logger("bench")
    tracer = runtime.recorder.tracer_provider.get_tracer("bench")
    with tracer.start_as_current_span("request") as span, context.bind(request_id="req-1"):
        assert trace.get_current_span() is span  # noqa: S101 - the ids belong to the measured line

        def write(number: int) -> None:
            log.info("order.paid", order_id=number, amount=12.5, currency="EUR", paid=True)
            if number % 1_000 == 0:
                kept.clear()

        figures = {"watchkeeper_us": best_us(write)}
        gate, runtime.logs._gate = runtime.logs._gate, None  # noqa: SLF001 - as above
        figures["watchkeeper_without_limits_us"] = best_us(write)
        runtime.logs._gate = gate  # noqa: SLF001 - as above
        figures["watchkeeper_to_file_us"] = to_file(runtime, write)
        runtime.logs._emit = None  # noqa: SLF001 - as above
        figures["watchkeeper_without_record_us"] = best_us(write)
        figures["watchkeeper_below_level_us"] = best_us(lambda n: log.debug("no", order_id=n))
        runtime.logs._emit = kept.append  # noqa: SLF001 - as above
        bridge.install(logging.INFO)
        third = logging.getLogger("third.party")

        def bridged(number: int) -> None:
            third.info("order %s paid", number)
            if number % 1_000 == 0:
                kept.clear()

        figures["watchkeeper_bridged_us"] = best_us(bridged)
        bridge.uninstall()
    route(None, LEVELS["info"].number)
    runtime.stop(1.0)
    return figures


def main() -> None:
    """Print the figures."""
    with open(os.devnull, "w", encoding="utf-8") as devnull:  # noqa: PTH123 - a device
        figures = {**ours(devnull), **peers(devnull)}
    figures["ratio_to_structlog"] = round(
        figures["watchkeeper_us"] / figures["structlog_orjson_us"], 2
    )
    figures["target_us"] = 10.0
    for name, value in figures.items():
        print(f"{name:32} {value:8.2f}")
    print(json.dumps({"bench": "logs", "python": sys.version.split()[0], **figures}))


if __name__ == "__main__":
    main()
