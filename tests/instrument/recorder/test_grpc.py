"""The gRPC exporter against a real server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from tests.instrument.recorder.certificates import Authority

from watchkeeper.clock import SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.exporting import exporters
from watchkeeper.instrument.recorder import GrpcExporter, LogRecord, Outcome, RandomIds, Recorder
from watchkeeper.instrument.recorder.read import retry_delay_s
from watchkeeper.instrument.recorder.wire import field, varint
from watchkeeper.instrument.settings import load

Script = Callable[[grpc.ServicerContext], None]


class Receiver:
    """An OTLP/gRPC endpoint that keeps what arrives and ends calls as `script` says."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.spans: list[str] = []
        self.logs: list[str] = []
        self.metadata: list[Mapping[str, object]] = []
        self.script: list[Script] = []
        self.rejected = 0
        receiver = self

        class Traces(trace_grpc.TraceServiceServicer):
            def Export(  # noqa: N802 - the service's name
                self, request: trace_pb.ExportTraceServiceRequest, context: grpc.ServicerContext
            ) -> trace_pb.ExportTraceServiceResponse:
                receiver.note(context)
                receiver.spans += [
                    span.name
                    for resource in request.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
                answer = trace_pb.ExportTraceServiceResponse()
                answer.partial_success.rejected_spans = receiver.rejected
                return answer

        class Logs(logs_grpc.LogsServiceServicer):
            def Export(  # noqa: N802 - the service's name
                self, request: logs_pb.ExportLogsServiceRequest, context: grpc.ServicerContext
            ) -> logs_pb.ExportLogsServiceResponse:
                receiver.note(context)
                receiver.logs += [
                    record.body.string_value
                    for resource in request.resource_logs
                    for scope in resource.scope_logs
                    for record in scope.log_records
                ]
                return logs_pb.ExportLogsServiceResponse()

        self.server = grpc.server(
            ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", 100_000), ("grpc.so_reuseport", 0)],
        )
        trace_grpc.add_TraceServiceServicer_to_server(Traces(), self.server)  # type: ignore[no-untyped-call] # generated
        logs_grpc.add_LogsServiceServicer_to_server(Logs(), self.server)  # type: ignore[no-untyped-call] # generated
        if credentials is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()

    def note(self, context: grpc.ServicerContext) -> None:
        """Keep the metadata, and end the call if the script says so."""
        self.metadata.append(dict(context.invocation_metadata()))
        if self.script:
            self.script.pop(0)(context)


@contextmanager
def receiving(credentials: grpc.ServerCredentials | None = None) -> Iterator[Receiver]:
    """Run a receiver for the length of a ``with`` block."""
    receiver = Receiver(credentials)
    try:
        yield receiver
    finally:
        receiver.server.stop(0).wait()


@contextmanager
def recording(url: str, **settings: object) -> Iterator[Recorder]:
    """A recorder over the exporters that the settings ask for, flushed by hand."""
    clock = SystemClock()
    wanted = load({"protocol": "grpc", "endpoint": url, **settings}, {})
    recorder = Recorder(
        {"service.name": "s"}, clock=clock, ids=RandomIds(), exporter=exporters(wanted, clock),
        interval_s=60.0, jitter=lambda: 0.0,
    )  # fmt: skip
    try:
        yield recorder
    finally:
        recorder.shutdown(1.0)


def failing(code: str, retry: bytes | None = None) -> Script:
    """Return a script that ends a call with *code*, with a RetryInfo of that delay if given."""

    def script(context: grpc.ServicerContext) -> None:
        if retry is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", status(retry)),))
        context.abort(grpc.StatusCode[code], "as the script says")

    return script


def status(delay: bytes) -> bytes:
    """Return a google.rpc.Status with another detail and a RetryInfo of that Duration."""
    other = field(b"\x0a", b"type.googleapis.com/google.rpc.DebugInfo") + field(
        b"\x12", b"\x0a\x01x"
    )
    info = field(b"\x0a", b"type.googleapis.com/google.rpc.RetryInfo")
    info += field(b"\x12", field(b"\x0a", delay))
    return b"\x08\x08" + field(b"\x12", b"busy") + field(b"\x1a", other) + field(b"\x1a", info)


def test_spans_and_logs_arrive_with_their_metadata() -> None:
    """Both signals go over one channel, compressed, with the headers in lower case."""
    with (
        receiving() as receiver,
        recording(f"http://127.0.0.1:{receiver.port}", headers={"X-Tenant": "a b"}) as recorder,
    ):
        recorder.start("one").end()
        recorder.emit_log(LogRecord(1, 9, "info", "hello", {}))
        assert recorder.flush(10.0)
        assert (["one"], ["hello"]) == (receiver.spans, receiver.logs)
        assert {"a b"} == {entry["x-tenant"] for entry in receiver.metadata}
        assert all("watchkeeper/" in str(entry["user-agent"]) for entry in receiver.metadata)
        assert 1 == recorder.stats().spans_exported


def test_a_partial_success_is_counted() -> None:
    """What the endpoint rejected counts as dropped."""
    with (
        receiving() as receiver,
        recording(f"http://127.0.0.1:{receiver.port}", compression="none") as recorder,
    ):
        receiver.rejected = 1
        recorder.start("a").end()
        recorder.start("b").end()
        assert recorder.flush(10.0)
        assert ({"rejected": 1}, 1) == (
            recorder.stats().spans_dropped,
            recorder.stats().spans_exported,
        )


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code.name != "OK"])
def test_codes_fall_into_the_classes_of_the_specification(code: str) -> None:
    """Six codes may be retried; RESOURCE_EXHAUSTED only when the server says when."""
    retryable = {
        "CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS",
    }  # fmt: skip
    with receiving() as receiver:
        exporter = GrpcExporter(f"http://127.0.0.1:{receiver.port}")
        receiver.script += [failing(code), failing(code, b"\x08\x02\x10" + varint(500_000_000))]
        first, second = (exporter.export("traces", b"", 0) for _ in range(2))
        exporter.close()

    again = code in retryable
    assert ("retry" if again else "refused", None) == (first.kind, first.retry_after_s)
    assert code in first.detail
    if again or code == "RESOURCE_EXHAUSTED":
        assert ("retry", 2.5, True) == (second.kind, second.retry_after_s, second.reachable)
    else:
        assert "refused" == second.kind


@pytest.mark.parametrize(
    ("details", "delay_s"),
    [
        (status(b"\x08\x03"), 3.0),
        (status(b""), 0.0),
        (status(b"\x08" + varint(2**64 - 5)), 0.0),
        (b"", None),
        (b"\x1a\x02\x0a\x00", None),
        (b"\x1a\xff", None),
    ],
)
def test_the_delay_of_a_retry_info_is_read(details: bytes, delay_s: float | None) -> None:
    """Absent and broken details give none; a negative delay means at once."""
    assert delay_s == retry_delay_s(details)


def test_an_absurd_delay_is_capped() -> None:
    """A day becomes the limit."""
    with receiving() as receiver:
        exporter = GrpcExporter(f"http://127.0.0.1:{receiver.port}")
        receiver.script.append(failing("UNAVAILABLE", b"\x08" + varint(86_400)))
        outcome = exporter.export("logs", b"", 0)
        exporter.close()

    assert 120.0 == outcome.retry_after_s


def test_nobody_there_and_a_silent_endpoint_are_retried() -> None:
    """Both cost the deadline at most and leave the batch for later."""
    release = threading.Event()

    def waiting(_: grpc.ServicerContext) -> None:
        release.wait(20)

    with receiving() as receiver:
        exporter = GrpcExporter(f"http://127.0.0.1:{receiver.port}", timeout_s=0.3)
        receiver.script.append(waiting)
        silent = exporter.export("traces", b"", 0)
        release.set()
        exporter.close()
    absent = GrpcExporter(f"http://127.0.0.1:{receiver.port}", timeout_s=2.0)
    gone = absent.export("traces", b"", 0)
    absent.close()

    assert [("retry", False), ("retry", False)] == [(o.kind, o.reachable) for o in (silent, gone)]
    assert "DEADLINE_EXCEEDED" in silent.detail


def test_a_message_that_is_too_large_is_sent_in_parts() -> None:
    """The receiver takes 100,000 bytes at once: everything arrives in more, smaller requests."""
    with (
        receiving() as receiver,
        recording(f"http://127.0.0.1:{receiver.port}", compression="none") as recorder,
    ):
        for number in range(50):
            recorder.start(str(number), attributes={"text": str(number) * 2_000}).end()
        assert recorder.flush(20.0)
        assert [str(number) for number in range(50)] == receiver.spans
        assert (50, {}) == (recorder.stats().spans_exported, recorder.stats().spans_dropped)


def test_tls_checks_both_ends(tmp_path: Path) -> None:
    """The server's certificate is checked against ours, and ours by the server."""
    authority = Authority(tmp_path)
    credentials = grpc.ssl_server_credentials(
        [(authority.server_key.read_bytes(), authority.server_chain.read_bytes())],
        authority.root.read_bytes(),
        require_client_auth=True,
    )
    with receiving(credentials) as receiver:
        url = f"https://127.0.0.1:{receiver.port}"
        paths = {
            "certificate": authority.root,
            "client_certificate": authority.client_chain,
            "client_key": authority.client_key,
        }
        with recording(url, **paths) as recorder:
            recorder.start("secret").end()
            assert recorder.flush(10.0)
        with recording(url, certificate=authority.root, export_timeout_s=2.0) as nobody:
            nobody.start("not sent").end()
            assert not nobody.flush(5.0)

        assert ["secret"] == receiver.spans


def test_a_fork_opens_a_channel_of_its_own() -> None:
    """After the parent has exported, a child exports, and the parent goes on."""
    script = """
        import os, sys
        from watchkeeper.clock import SystemClock
        from watchkeeper.instrument.recorder import GrpcExporter, RandomIds, Recorder
        recorder = Recorder({}, clock=SystemClock(), ids=RandomIds(),
                            exporter=GrpcExporter(sys.argv[1], timeout_s=5.0), interval_s=0.1)
        recorder.start("before").end()
        assert recorder.flush(5)
        for number in range(3):
            child = os.fork()
            if child == 0:
                recorder.start(f"child {number}").end()
                os._exit(0 if recorder.flush(10) else 3)
            assert os.waitpid(child, 0)[1] == 0
        recorder.start("after").end()
        assert recorder.flush(5)
    """
    with receiving() as receiver:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script),
             f"http://127.0.0.1:{receiver.port}"],
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

        assert 0 == done.returncode, done.stderr
        assert ["before", "child 0", "child 1", "child 2", "after"] == receiver.spans


def test_a_missing_package_is_explained() -> None:
    """Without grpcio `configure` says what to install and what to set instead."""
    script = """
        import sys
        sys.modules["grpc"] = None
        import watchkeeper
        from watchkeeper.errors import SettingError
        try:
            watchkeeper.configure(protocol="grpc")
        except SettingError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip

    assert "pip install 'watchkeeper[grpc]'" in done.stdout
    assert "Accepted: http/protobuf, or grpc with grpcio installed" in done.stdout


@pytest.mark.parametrize("url", ["", "c:4317", "ftp://c", "http://", "http://u:p@c"])
def test_unusable_endpoints_are_explained(url: str) -> None:
    """A target that is no http(s) URL is refused when the exporter is made."""
    with pytest.raises(SettingError, match="gRPC endpoint") as refused:
        GrpcExporter(url)
    assert "u:p" not in str(refused.value)


def test_the_outcome_of_a_success_is_plain() -> None:
    """Closing twice, and exporting after it, is harmless."""
    with receiving() as receiver:
        exporter = GrpcExporter(f"http://127.0.0.1:{receiver.port}")
        exporter.close()
        first = exporter.export("traces", b"", 0)
        exporter.close()
        second = exporter.export("logs", b"", 0)
        exporter.close()

    assert Outcome("delivered") == first == second
