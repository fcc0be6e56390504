"""OTLP over HTTP: traces, logs and metrics in, answered once they are committed.

Source: OTLP specification 1.11 (opentelemetry-proto, docs/specification.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from anyio import to_thread
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.clock import Clock
from watchkeeper.errors import (
    IngestError,
    OverloadError,
    PayloadError,
    PayloadTooLargeError,
    StoreError,
)
from watchkeeper.server.otlp.body import inflate, parse_json, parse_protobuf
from watchkeeper.server.otlp.decode import NO_ID, NOT_NOW, log_rows, span_rows
from watchkeeper.server.otlp.metrics import TOO_MUCH_LABEL, sample_rows
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store
from watchkeeper.vocabulary.limits import limit

__all__ = ["routes"]

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE = 3, 8, 12, 14
_REASONS = {NO_ID: "invalid_id", NOT_NOW: "out_of_window", TOO_MUCH_LABEL: "label_limit"}

_BODY_S_MAX = 60.0
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Decode = Callable[[Message], tuple[Batch, "Counter[str]"]]


class _Signal(NamedTuple):
    """What differs between the three signals."""

    name: str
    request: type[Message]
    response: type[Message]
    rejected: str
    """The field of ``partial_success`` that counts what was refused."""
    decode: Decode


def routes(store: Store, metrics: ServerMetrics, clock: Clock) -> list[Route]:
    """Return ``/v1/traces``, ``/v1/logs`` and ``/v1/metrics``.

    Every refusal has a google.rpc.Status body in the request's encoding. A batch is answered 200
    once it is committed.
    """

    def traces(request: Any) -> tuple[Batch, Counter[str]]:
        spans, refused = span_rows(request, store.window_ns())
        return Batch(spans=spans), refused

    def logs(request: Any) -> tuple[Batch, Counter[str]]:
        records, refused = log_rows(request, clock.now_ns(), store.window_ns())
        return Batch(logs=records), refused

    def points(request: Any) -> tuple[Batch, Counter[str]]:
        found = sample_rows(request, store.window_ns())
        families = list(found.families.values())
        batch = Batch(samples=found.samples, exemplars=found.exemplars, families=families)
        return batch, found.refused

    signals = (
        _Signal("traces", ExportTraceServiceRequest, ExportTraceServiceResponse,
                "rejected_spans", traces),
        _Signal("logs", ExportLogsServiceRequest, ExportLogsServiceResponse,
                "rejected_log_records", logs),
        _Signal("metrics", ExportMetricsServiceRequest, ExportMetricsServiceResponse,
                "rejected_data_points", points),
    )  # fmt: skip
    intake = _Intake(store, metrics)
    return [
        Route(f"/v1/{signal.name}", intake.handler(signal), methods=_METHODS) for signal in signals
    ]


class _Intake:
    """Reads, decodes and stores requests within a budget of bytes in flight."""

    def __init__(self, store: Store, metrics: ServerMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._in_flight = 0

    def handler(self, signal: _Signal) -> Callable[[Request], Awaitable[Response]]:
        """Return the handler of one signal."""

        async def handle(request: Request) -> Response:
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            if request.method != "POST":
                answer = _error(405, _UNIMPLEMENTED, kind, "Accepted: POST. Next: use POST.")
                answer.headers["Allow"] = "POST"
                return answer
            if kind not in (_PROTOBUF, _JSON):
                self._metrics.count("watchkeeper.server.refused", signal.name, "content_type")
                return _error(415, _INVALID_ARGUMENT, _PROTOBUF,
                    f"unknown Content-Type: got {kind[:60]!r}. Accepted: {_PROTOBUF}, {_JSON}. "
                    "Next: set the header.")  # fmt: skip
            try:
                message = await self._take(request, signal, kind)
            except ClientDisconnect:
                return Response(status_code=499)
            except TimeoutError:
                return _error(408, _UNAVAILABLE, kind, "the body did not arrive in time")
            except IngestError as error:
                return _refuse(error, self._metrics, signal.name, kind)
            except StoreError as error:
                return _error(503, _UNAVAILABLE, kind, str(error), retry_after_s=1.0)
            return _message(200, message, kind)

        return handle

    async def _take(self, request: Request, signal: _Signal, kind: str) -> Message:
        """Return the answer to a request once its rows are committed."""
        most = limit("request_body_bytes_max")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        held = 0
        chunks = []
        try:
            async with asyncio.timeout(_BODY_S_MAX):
                async for chunk in request.stream():
                    self._reserve(len(chunk))
                    held += len(chunk)
                    if held > most:
                        raise _too_large(most)
                    chunks.append(chunk)
            body = b"".join(chunks)
            batch, refused = await to_thread.run_sync(
                _decode, signal, body, encoding, kind == _JSON
            )
        finally:
            self._in_flight -= held
        for reason, number in refused.items():
            self._metrics.count(
                "watchkeeper.server.refused", signal.name, _REASONS.get(reason, "unsupported"),
                by=number,
            )  # fmt: skip
        if batch.spans or batch.logs or batch.samples:
            await asyncio.wrap_future(self._store.ingest(batch))
        return _answer(signal, refused)

    def _reserve(self, size: int) -> None:
        most = limit("ingest_queue_bytes_max")
        if self._in_flight + size > most:
            raise OverloadError(
                f"too many requests at once: got {self._in_flight + size} bytes in flight. "
                f"Accepted: {most} (ingest_queue_bytes_max). Next: send again later."
            )
        self._in_flight += size


def _decode(
    signal: _Signal,
    body: bytes,
    encoding: str,
    as_json: bool,  # noqa: FBT001 - one of two forms
) -> tuple[Batch, Counter[str]]:
    """Return the batch of a request and what was refused; runs in a thread."""
    plain = inflate(body, encoding, limit("request_body_bytes_max"))
    request = (parse_json if as_json else parse_protobuf)(plain, signal.request)
    batch, refused = signal.decode(request)
    batch.digest = hashlib.blake2b(plain, digest_size=16).digest()
    batch.size_bytes = 3 * len(plain)
    return batch, refused


def _answer(signal: _Signal, refused: Counter[str]) -> Message:
    """Return the response message; ``partial_success`` stays unset if nothing was refused."""
    answer: Any = signal.response()
    if refused.total():
        setattr(answer.partial_success, signal.rejected, refused.total())
        reasons = "; ".join(f"{number} because {reason}" for reason, number in refused.items())
        answer.partial_success.error_message = f"refused: {reasons}"
    message: Message = answer
    return message


def _too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"request too large: got more than {most} bytes. "
        f"Accepted: up to {most} (request_body_bytes_max). Next: send smaller batches."
    )


def _refuse(error: IngestError, metrics: ServerMetrics, signal: str, kind: str) -> Response:
    if isinstance(error, OverloadError):
        metrics.count("watchkeeper.server.refused", signal, "overload")
        return _error(503, _UNAVAILABLE, kind, str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, PayloadTooLargeError):
        metrics.count("watchkeeper.server.refused", signal, "body_too_large")
        return _error(413, _RESOURCE_EXHAUSTED, kind, str(error))
    reason = "malformed" if isinstance(error, PayloadError) else "other"
    metrics.count("watchkeeper.server.refused", signal, reason)
    return _error(400, _INVALID_ARGUMENT, kind, str(error))


def _error(
    status: int, code: int, kind: str, message: str, *, retry_after_s: float | None = None
) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:.0f}"}
    return _message(status, Status(code=code, message=message), kind, headers)


def _message(
    status: int, message: Message, kind: str, headers: dict[str, Any] | None = None
) -> Response:
    body = (
        MessageToJson(message, indent=None).encode()
        if kind == _JSON
        else message.SerializeToString()
    )
    shown = kind if kind == _JSON else _PROTOBUF
    return Response(body, status_code=status, media_type=shown, headers=headers)
