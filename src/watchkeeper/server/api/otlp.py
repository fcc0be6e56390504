"""OTLP over HTTP: traces and logs in, answered once they are committed.

Source: OTLP specification 1.11 (opentelemetry-proto, docs/specification.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import to_thread
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
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
from watchkeeper.server.otlp.decode import log_rows, span_rows
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.rows import Batch
from watchkeeper.server.store.store import Store
from watchkeeper.vocabulary.limits import limit

__all__ = ["routes"]

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _UNAVAILABLE, _INTERNAL = 3, 8, 14, 13

Decode = Callable[[bytes, bool], tuple[Batch, Message]]


def routes(store: Store, metrics: ServerMetrics, clock: Clock) -> list[Route]:
    """Return ``/v1/traces`` and ``/v1/logs``; other methods than POST are answered 405."""

    def traces(body: bytes, as_json: bool) -> tuple[Batch, Message]:  # noqa: FBT001 - one of two forms
        request = (parse_json if as_json else parse_protobuf)(body, ExportTraceServiceRequest)
        spans, refused = span_rows(request)
        answer = ExportTraceServiceResponse()
        if refused:
            metrics.count("watchkeeper.server.refused", "traces", "invalid_id", by=refused)
            answer.partial_success.rejected_spans = refused
            answer.partial_success.error_message = (
                f"{refused} spans have no valid trace id (16 bytes) and span id (8 bytes)"
            )
        return Batch(spans=spans), answer

    def logs(body: bytes, as_json: bool) -> tuple[Batch, Message]:  # noqa: FBT001 - likewise
        request = (parse_json if as_json else parse_protobuf)(body, ExportLogsServiceRequest)
        return Batch(logs=log_rows(request, clock.now_ns())), ExportLogsServiceResponse()

    return [
        Route("/v1/traces", _handler(store, metrics, "traces", traces), methods=["POST"]),
        Route("/v1/logs", _handler(store, metrics, "logs", logs), methods=["POST"]),
    ]


def _handler(
    store: Store, metrics: ServerMetrics, signal: str, decode: Decode
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            metrics.count("watchkeeper.server.refused", signal, "content_type")
            return _error(415, _INVALID_ARGUMENT, _PROTOBUF,
                f"unknown Content-Type: got {kind[:60]!r}. Accepted: {_PROTOBUF}, {_JSON}. "
                "Next: set the header.")  # fmt: skip
        try:
            body = await _read(request)
            answer = await _take(store, body, kind == _JSON, decode)
        except ClientDisconnect:
            return Response(status_code=499)
        except IngestError as error:
            return _refuse(error, metrics, signal, kind)
        except StoreError as error:
            return _error(503, _UNAVAILABLE, kind, str(error), retry_after_s=1.0)
        return _message(200, answer, kind)

    return handle


async def _read(request: Request) -> bytes:
    """Return the inflated body; stops reading at the limit."""
    most = limit("request_body_bytes_max")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise PayloadTooLargeError(
                f"request too large: got more than {most} bytes. "
                f"Accepted: up to {most} (request_body_bytes_max). Next: send smaller batches."
            )
        chunks.append(chunk)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    return inflate(b"".join(chunks), encoding, most)


async def _take(store: Store, body: bytes, as_json: bool, decode: Decode) -> Message:  # noqa: FBT001 - see above
    def work() -> tuple[Batch, Message]:
        batch, answer = decode(body, as_json)
        batch.digest = hashlib.blake2b(body, digest_size=16).digest()
        batch.size_bytes = 2 * len(body)
        return batch, answer

    batch, answer = await to_thread.run_sync(work)
    if batch.spans or batch.logs:
        await asyncio.wrap_future(store.ingest(batch))
    return answer


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
    return Response(body, status_code=status, media_type=kind, headers=headers)
