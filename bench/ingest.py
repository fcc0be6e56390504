"""How fast telemetry becomes durable: ``python bench/ingest.py``.

Prints rows a second, committed, by signal and batch size; decoding of OTLP; reading of pages.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from watchkeeper.clock import SystemClock
from watchkeeper.server.otlp.body import parse_protobuf
from watchkeeper.server.otlp.decode import span_rows
from watchkeeper.server.scrape.exposition import PageReader
from watchkeeper.server.series import Labels, sorted_labels
from watchkeeper.server.store import Store
from watchkeeper.server.store.rows import Batch, Sample, SpanRow

CLOCK = SystemClock()
ROWS = 60_000


def rate(name: str, items: int, work: Callable[[], object]) -> None:
    """Print how many items a second *work* handles."""
    began = CLOCK.monotonic_ns()
    work()
    seconds = (CLOCK.monotonic_ns() - began) / 1e9
    print(f"{name:42s} {items / seconds:12,.0f} /s")


def request(spans: int) -> bytes:
    """Return an OTLP request with spans of ten attributes."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "api"
    scope = group.scope_spans.add()
    now_ns = CLOCK.now_ns()
    for _ in range(spans):
        span = scope.spans.add(
            trace_id=os.urandom(16), span_id=os.urandom(8), name="GET /users/{id}", kind=2,
            start_time_unix_nano=now_ns, end_time_unix_nano=now_ns + 1_000,
        )  # fmt: skip
        for number in range(10):
            span.attributes.add(key=f"key.{number}").value.string_value = f"value {number}"
    return message.SerializeToString()


def decoded(body: bytes) -> list[SpanRow]:
    """Return the spans of a request."""
    return span_rows(parse_protobuf(body, ExportTraceServiceRequest), (0, 2**62))[0]


def series(number: int) -> list[Labels]:
    """Return label sets."""
    return [
        sorted_labels({"__name__": f"m_{n % 50}", "job": "api", "method": "GET", "le": str(n)})
        for n in range(number)
    ]


def main() -> None:
    """Run every measurement."""
    body = request(1_000)
    rate("decode OTLP protobuf, spans", 10_000, lambda: [decoded(body) for _ in range(10)])
    page = "\n".join(f'm_{n % 50}{{method="GET",le="{n}"}} {n}.5' for n in range(5_000))
    reader = PageReader({"job": "api"})
    rate("read a page, first time, samples", 5_000, lambda: reader.read(page, 1))
    rate("read it again", 50_000, lambda: [reader.read(page, 1) for _ in range(10)])
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder) / "data", clock=CLOCK) as store,
    ):

        def commit(batches: list[Batch]) -> None:
            for future in [store.ingest(batch) for batch in batches]:
                future.result()

        for size in (100, 500, 5_000):
            rows = decoded(request(size))
            batches = [
                Batch(digest=os.urandom(16), spans=rows, size_bytes=1) for _ in range(ROWS // size)
            ]
            rate(f"commit spans, {size} in a batch", ROWS, partial(commit, batches))
        known, now_ms = series(5_000), CLOCK.now_ns() // 1_000_000
        scrapes = [
            Batch(
                samples=[Sample(labels, now_ms - (60 - t) * 5_000, t) for labels in known],
                size_bytes=400_000,
            )
            for t in range(60)
        ]
        rate("commit samples, 5,000 in a scrape", 300_000, partial(commit, scrapes))
        print(orjson.dumps(store.status()["bytes"]).decode())


if __name__ == "__main__":
    main()
