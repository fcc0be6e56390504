"""OTLP over gRPC, with grpcio, which is imported when an exporter is made.

Behaviour follows the OTLP specification 1.x, section OTLP/gRPC: which codes may be retried, how
long to wait, what a partial success means. Messages go as bytes through generic calls, so no
generated classes are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.errors import SettingError
from watchkeeper.instrument.parse import without_login
from watchkeeper.instrument.recorder.exporters import Outcome
from watchkeeper.instrument.recorder.http import user_agent
from watchkeeper.instrument.recorder.read import rejected_items, retry_delay_s
from watchkeeper.instrument.recorder.records import Signal
from watchkeeper.vocabulary.limits import limit

__all__ = ["GrpcExporter"]

_METHODS: Mapping[Signal, str] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)
_UNREACHABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
_STATUS_DETAILS = "grpc-status-details-bin"
Certificates = tuple[bytes | None, bytes | None, bytes | None]


class GrpcExporter:
    """Sends batches as unary calls over one channel, which is opened at the first of them.

    Args:
        endpoint: ``http://host:port`` without TLS, ``https://host:port`` with it; a path is ignored.
        headers: Metadata of every call; names are sent in lower case.
        timeout_s: Deadline of one call in seconds, connecting included.
        compress: Whether to gzip the messages.
        certificates: PEM bytes of authorities, client key and client certificates; None of the
            first uses those that grpcio brings.
        retry_after_s_max: Longest wait that an endpoint can ask for, in seconds.

    Raises:
        SettingError: The endpoint is not usable, or grpcio is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        compress: bool = True,
        certificates: Certificates = (None, None, None),
        retry_after_s_max: float = limit("export_retry_after_s_max"),
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise SettingError.explain(
                "the gRPC endpoint is not usable",
                got=without_login(endpoint),
                accepted="http://host:port or https://host:port",
                next_step="pass for example http://127.0.0.1:4317, and credentials as headers",
            )
        self._grpc = _grpc()
        self._target = parts.netloc if parts.port else f"{parts.netloc}:4317"
        self._secure = parts.scheme == "https"
        self._metadata = [(name.lower(), value) for name, value in (headers or {}).items()]
        self._timeout_s = timeout_s
        self._compression = self._grpc.Compression.Gzip if compress else None
        self._certificates = certificates
        self._retry_after_s_max = retry_after_s_max
        self._channel: Any = None
        self._calls: dict[Signal, Any] = {}

    def export(self, signal: Signal, body: bytes, items: int) -> Outcome:  # noqa: ARG002 - protocol
        """Send one batch; a status that the specification calls retryable gives ``retry``."""
        if self._channel is None:
            self._open()
        try:
            answer = self._calls[signal](
                body,
                timeout=self._timeout_s,
                metadata=self._metadata,
                compression=self._compression,
            )
        except self._grpc.RpcError as error:
            return self._judge(error)
        return Outcome("delivered", rejected=rejected_items(answer))

    def after_fork(self) -> None:
        """Forget the parent's channel without a call to it: its threads do not exist here."""
        self._abandoned = (self._channel, self._calls)
        self._channel, self._calls = None, {}

    def close(self) -> None:
        """Close the channel; a later export opens a new one."""
        channel, self._channel, self._calls = self._channel, None, {}
        if channel is not None:
            channel.close()

    def _open(self) -> None:
        grpc = self._grpc
        options = [
            ("grpc.primary_user_agent", user_agent()),
            ("grpc.max_receive_message_length", limit("export_response_bytes_max")),
            ("grpc.enable_retries", 0),
            # Each channel connects by itself: one that a parent opened must not be shared.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self._secure:
            authorities, key, chain = self._certificates
            credentials = grpc.ssl_channel_credentials(authorities, key, chain)
            channel = grpc.secure_channel(self._target, credentials, options)
        else:
            channel = grpc.insecure_channel(self._target, options)
        self._calls = {signal: channel.unary_unary(path) for signal, path in _METHODS.items()}
        self._channel = channel

    def _judge(self, error: Any) -> Outcome:
        code: str = error.code().name
        text = str(error.details() or "")
        detail = f"gRPC {code}: {text[:200]} ({self._target})"
        delay_s = None
        for key, value in error.trailing_metadata() or ():
            if key == _STATUS_DETAILS:
                delay_s = retry_delay_s(value)
        if delay_s is not None:
            delay_s = min(delay_s, self._retry_after_s_max)
        if code in _RETRYABLE or (code == "RESOURCE_EXHAUSTED" and delay_s is not None):
            reachable = delay_s is not None or code not in _UNREACHABLE
            return Outcome("retry", retry_after_s=delay_s, reachable=reachable, detail=detail)
        if code == "RESOURCE_EXHAUSTED" and "larger than max" in text:
            # Both grpc-go and grpc-core say so where a message is beyond the receiver's bound.
            return Outcome("too_large", detail=detail)
        return Outcome("refused", detail=detail)


def _grpc() -> Any:
    try:
        return import_module("grpc")
    except ImportError as error:
        raise SettingError.explain(
            "the protocol grpc needs a package that is not installed",
            got="grpc",
            accepted="http/protobuf, or grpc with grpcio installed",
            next_step="pip install 'watchkeeper[grpc]', or set protocol to http/protobuf and the "
            "endpoint to the port for HTTP, mostly 4318",
        ) from error
