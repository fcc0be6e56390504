"""The HTTP exporter against a real server."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import pytest
from tests.instrument.recorder.certificates import Authority
from tests.instrument.recorder.collector import Answer, TickingClock, collecting

from watchkeeper.clock import SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.exporting import exporters
from watchkeeper.instrument.recorder import HttpExporter, Outcome
from watchkeeper.instrument.settings import load


def exporter_for(url: str, **more: object) -> HttpExporter:
    """Return an exporter with the system's clock."""
    return HttpExporter(url, clock=SystemClock(), **more)  # type: ignore[arg-type] # as the constructor's


def test_batches_arrive_whole_over_one_connection() -> None:
    """Both signals go to their paths, gzipped, with the headers, over a kept connection."""
    with collecting() as collector:
        exporter = exporter_for(f"{collector.url}/base/", headers={"Authorization": "Bearer x"})
        assert Outcome("delivered") == exporter.export("traces", b"T" * 10_000, 1)
        assert Outcome("delivered") == exporter.export("logs", b"L", 1)
        exporter.close()
        assert ["/base/v1/traces", "/base/v1/logs"] == [r.path for r in collector.requests]
        assert [b"T" * 10_000, b"L"] == [r.body for r in collector.requests]
        headers = collector.requests[0].headers
        assert "application/x-protobuf" == headers["content-type"]
        assert "gzip" == headers["content-encoding"]
        assert "Bearer x" == headers["authorization"]
        assert headers["user-agent"].startswith("watchkeeper/")
        assert 1 == collector.connections


def test_urls_by_signal_and_uncompressed_bodies() -> None:
    """A URL given for a signal is used as it is."""
    with collecting() as collector:
        urls = {"traces": f"{collector.url}/x?y=1"}
        exporter = exporter_for(collector.url, urls=urls, compress=False)
        assert "delivered" == exporter.export("traces", b"T", 1).kind
        exporter.close()
        assert ("/x?y=1", b"T") == collector.requests[0][0::2]
        assert "content-encoding" not in collector.requests[0].headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "delivered"), (202, "delivered"), (302, "refused"), (400, "refused"),
        (401, "refused"), (403, "refused"), (404, "refused"), (408, "refused"), (413, "too_large"),
        (429, "retry"), (500, "refused"), (501, "refused"), (502, "retry"), (503, "retry"),
        (504, "retry"),
    ],
)  # fmt: skip
def test_statuses_fall_into_the_classes_of_the_specification(status: int, kind: str) -> None:
    """Only 429, 502, 503 and 504 may be retried."""
    with collecting() as collector:
        collector.script.append(Answer(status))
        exporter = exporter_for(collector.url)
        outcome = exporter.export("traces", b"x", 1)
        exporter.close()
    assert (kind, True) == (outcome.kind, outcome.reachable)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), ("-5", 0.0), ("99999999999", 120.0), ("soon", None),
        ("Tue, 14 Nov 2023 22:13:35 GMT", 15.0), ("Tue, 14 Nov 1995 22:13:35 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0),
    ],
)  # fmt: skip
def test_retry_after_is_read_and_capped(value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are honoured, absurd ones are cut, others ignored."""
    with collecting() as collector:
        collector.script.append(Answer(503, (("Retry-After", value),)))
        # The epoch of this clock is 2023-11-14 22:13:20; its monotonic time stands still.
        exporter = HttpExporter(collector.url, clock=TickingClock())
        outcome = exporter.export("traces", b"x", 1)
        exporter.close()
    assert seconds == (
        outcome.retry_after_s if outcome.retry_after_s is None else round(outcome.retry_after_s)
    )


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        (b"", 0),
        (b"\x0a\x00", 0),
        (b"\x0a\x02\x08\x05", 5),
        (b"\x0a\x07\x08\x03\x12\x03why", 3),
        (b"\x0a\x05\x12\x03why", 0),
        (b"garbage", 0),
    ],
)
def test_partial_success_is_read(body: bytes, rejected: int) -> None:
    """The rejected count is taken from the response; an unreadable one counts as none."""
    with collecting() as collector:
        collector.script.append(Answer(200, body=body))
        exporter = exporter_for(collector.url)
        assert Outcome("delivered", rejected=rejected) == exporter.export("traces", b"x", 9)
        exporter.close()


def test_an_endless_answer_is_cut() -> None:
    """A response of more than 4 MiB is not read to its end, and its connection is closed."""
    with collecting() as collector:
        collector.script.append(Answer(200, body=b"\x00" * (5 * 1024 * 1024)))
        exporter = exporter_for(collector.url)
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        exporter.close()
        assert 2 == collector.connections


def test_no_endpoint_is_a_reason_to_retry() -> None:
    """A refused connection is retryable, and says that nobody answered."""
    with collecting() as collector:
        url = collector.url
    outcome = exporter_for(url).export("traces", b"x", 1)
    assert ("retry", False) == (outcome.kind, outcome.reachable)


def test_a_silent_endpoint_costs_the_timeout_only() -> None:
    """An endpoint that accepts and never answers ends the attempt at the timeout."""
    release = threading.Event()
    with collecting() as collector:
        collector.script.append(Answer(wait=release))
        exporter = exporter_for(collector.url, timeout_s=0.2)
        outcome = exporter.export("traces", b"x", 1)
        release.set()
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        exporter.close()
    assert ("retry", False) == (outcome.kind, outcome.reachable)


def test_a_kept_connection_that_falls_silent_costs_one_timeout() -> None:
    """An endpoint that answered before and hangs now is not taken for one that has hung up."""
    release = threading.Event()
    with collecting() as collector:
        exporter = exporter_for(collector.url, timeout_s=0.2)
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        collector.script.append(Answer(wait=release))
        outcome = exporter.export("traces", b"x", 1)
        release.set()
        exporter.close()
        assert 1 == collector.connections
    assert ("retry", False) == (outcome.kind, outcome.reachable)
    assert "TimeoutError" in outcome.detail


def test_head_and_body_leave_in_one_piece() -> None:
    """A server finds the whole request in what it reads first."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        exporter = exporter_for(url, compress=False)
        exporter.export("traces", b"B" * 10_000, 1)
        exporter.close()
        thread.join()
    assert seen[0].startswith(b"POST /v1/traces HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\n" + b"B" * 10_000)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2"])
def test_a_broken_answer_is_a_reason_to_retry(answer: bytes) -> None:
    """A connection that breaks in the middle of an answer leaves the batch undelivered."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        exporter = exporter_for(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=5.0)
        outcome = exporter.export("traces", b"x", 1)
        thread.join()
    assert "retry" == outcome.kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "retry"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf", "delivered"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 900\r\n\r\nhalf", "retry"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "delivered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmore than two", "delivered"),
    ],
)
def test_a_connection_that_is_reset_leaves_the_status_to_decide(answer: bytes, kind: str) -> None:
    """A reset in the middle of the body, or a wrong length, neither hangs nor sends twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                # Closing with unread bytes and without lingering sends a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.recv(10)
                connection.sendall(answer)
                if answer:
                    time.sleep(0.2)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        exporter = exporter_for(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=5.0)
        outcome = exporter.export("traces", b"x" * 100, 1)
        exporter.close()
        thread.join()
    assert kind == outcome.kind


def test_a_server_that_closed_a_kept_connection_is_tried_afresh() -> None:
    """A restart of the endpoint between two batches costs no failed attempt."""
    with collecting() as collector:
        port = collector.port
        collector.script.append(Answer(200, (("Connection", "close"),)))
        exporter = exporter_for(collector.url)
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        collector.script.append(Answer(200))
        assert "delivered" == exporter.export("traces", b"x", 1).kind
    with collecting(port) as again:
        # Its threads of the first server may hold the connection open, so it is closed here.
        exporter.close()
        assert "delivered" == exporter.export("traces", b"x", 1).kind
        exporter.close()
        assert 1 == len(again.requests)


def test_https_verifies_the_certificate(tmp_path: Path) -> None:
    """A trusted certificate is accepted; an unknown one leaves the batch undelivered."""
    authority = Authority(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(authority.server_chain, authority.server_key)
    with collecting(tls=server_side) as collector:
        trusting = exporter_for(
            collector.url, tls=ssl.create_default_context(cafile=str(authority.root))
        )
        assert "delivered" == trusting.export("traces", b"secret", 1).kind
        trusting.close()
        outcome = exporter_for(collector.url).export("traces", b"not sent", 1)
    assert ("retry", False) == (outcome.kind, outcome.reachable)
    assert "certificate" in outcome.detail
    assert [b"secret"] == [request.body for request in collector.requests]


def test_https_shows_the_clients_certificate(tmp_path: Path) -> None:
    """The paths of the settings make a connection that the server accepts; without, it does not."""
    authority = Authority(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(authority.server_chain, authority.server_key)
    server_side.load_verify_locations(authority.root)
    server_side.verify_mode = ssl.CERT_REQUIRED
    with collecting(tls=server_side) as collector:
        given: dict[str, object] = {"endpoint": collector.url, "certificate": authority.root}
        shown = {"client_certificate": authority.client_chain, "client_key": authority.client_key}
        known = exporters(load({**given, **shown}, {}), SystemClock())["traces"]
        assert "delivered" == known.export("traces", b"known", 1).kind
        known.close()
        unknown = exporters(load(given, {}), SystemClock())["traces"]
        assert "retry" == unknown.export("traces", b"unknown", 1).kind
        unknown.close()
    assert [b"known"] == [request.body for request in collector.requests]


@pytest.mark.parametrize(
    "url", ["", "localhost:4318", "ftp://host", "http://", "http://u:p@host", "http://host:99999"]
)
def test_unusable_endpoints_are_explained(url: str) -> None:
    """A URL that cannot be used is refused when the exporter is made."""
    with pytest.raises(SettingError, match="endpoint"):
        exporter_for(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:hunter2@host/v1", "'http://[secret]@host/v1"),
        ("u:hunter2@host:4318", "'[secret]@host:4318"),
        ("ftp://u:hun//ter2@host", "'ftp://[secret]@host"),
        ("http://u:hunter2?@host", "'http://[secret]@host"),
        ("ftp://host/?key=hunter2", "'ftp://host/?…'"),
    ],
)
def test_an_unusable_endpoint_is_told_without_its_login(url: str, shown: str) -> None:
    """User, password and query of a refused URL are left out of the error."""
    with pytest.raises(SettingError) as refused:
        exporter_for(url)

    assert shown in str(refused.value)
    assert "ter2" not in str(refused.value)
    with pytest.raises(SettingError) as unread:
        load({"endpoint": url}, {})
    assert "ter2" not in str(unread.value)


def test_the_longest_wait_is_a_setting() -> None:
    """`export_retry_after_s_max` bounds what an endpoint can ask for."""
    with collecting() as collector:
        collector.script.append(Answer(503, (("Retry-After", "600"),)))
        settings = load({"endpoint": collector.url, "export_retry_after_s_max": 7}, {})
        exporter = exporters(settings, SystemClock())["traces"]
        outcome = exporter.export("traces", b"x", 1)
        exporter.close()

    assert outcome.retry_after_s == 7.0
