"""The doctor names what is wrong and how to mend it."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from tests.instrument.recorder.collector import Answer, collecting

from watchkeeper.cli import checks, probes
from watchkeeper.cli.main import main
from watchkeeper.clock import SystemClock
from watchkeeper.instrument.settings import load
from watchkeeper.testing import FixedClock, capture, free_port


@contextmanager
def _serving(page: bytes) -> Iterator[str]:
    """Serve *page* as an application's metrics and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()
        thread.join(5)


def test_an_endpoint_that_does_not_answer_is_bad() -> None:
    """Nothing listening is a bad finding with a fix."""
    port = free_port()
    (finding,) = probes.check_endpoint(f"http://127.0.0.1:{port}")

    assert finding.level == "bad"
    assert "watchkeeper serve" in finding.fix


def test_an_endpoint_that_takes_otlp_is_ok() -> None:
    """An empty request that is accepted is enough."""
    with collecting() as collector:
        levels = [finding.level for finding in probes.check_endpoint(collector.url)]

    assert ["ok"] == levels


@pytest.mark.parametrize(
    ("status", "level", "fix"),
    [
        (401, "bad", "WATCHKEEPER_HEADERS"),
        (404, "bad", "OTLP/HTTP port"),
        (503, "warn", "spool_bytes_max"),
    ],
)
def test_an_endpoint_that_refuses_is_explained(status: int, level: str, fix: str) -> None:
    """The answer's status decides how bad it is and what to do."""
    with collecting() as collector:
        collector.script.append(Answer(status))
        (finding,) = probes.check_endpoint(collector.url)

    assert level == finding.level
    assert fix in finding.fix


def test_a_clock_that_is_off_is_found() -> None:
    """The endpoint's Date header is compared with this host's clock."""
    late = FixedClock(SystemClock().now_ns() - 3_600_000_000_000)
    with collecting() as collector:
        _, finding = probes.check_endpoint(collector.url, clock=late)

    assert "warn" == finding.level
    assert "behind the endpoint's" in finding.text


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "WATCHKEEPER_ENDPOINT"])
def test_the_endpoints_that_are_set_are_tried(variable: str) -> None:
    """Whichever variable names it, the endpoint in force is asked, that of each signal once."""
    with collecting() as collector, collecting() as guarded:
        guarded.script.append(Answer(401))
        settings = load({}, {variable: collector.url})
        (finding,) = probes.check_targets(settings)
        assert ("ok", f"endpoint {collector.url} takes OTLP") == (finding.level, finding.text)
        apart = f"{guarded.url}/v1/logs"
        settings = load({}, {variable: collector.url, "WATCHKEEPER_LOGS_ENDPOINT": apart})
        levels = [found.level for found in probes.check_targets(settings)]
        assert ["ok", "bad"] == levels


def test_an_endpoint_for_grpc_is_reached() -> None:
    """Of gRPC it is known whether somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        (finding,) = probes.check_targets(load({"protocol": "grpc", "endpoint": url}, {}))
        assert "ok" == finding.level
    (finding,) = probes.check_targets(load({"protocol": "grpc", "endpoint": url}, {}))
    assert "bad" == finding.level


def test_a_healthy_application_has_nothing_wrong() -> None:
    """The page of a fresh application gives one ok finding."""
    code = """
import sys
import watchkeeper
sys.stdout.buffer.write(watchkeeper.configure(endpoint="").metrics.scrape()[0])
"""
    page = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    with _serving(page) as url:
        assert ["ok"] == [finding.level for finding in probes.check_metrics(url)]


def test_what_went_wrong_in_an_application_is_named() -> None:
    """Losses, overflows and failed hooks of its page each give a finding with a fix."""
    with capture(metric_series_max=1) as seen:
        metrics = seen.runtime.metrics
        for agent in ("a", "b"):
            metrics.histogram("agent.run.steps").child((agent,)).observe(1.0)
        metrics.counter("llm.unknown_price").child(("openai", "gpt-x")).inc()
        with _serving(metrics.scrape()[0]) as url:
            findings = probes.check_metrics(url)

    texts = "\n".join(finding.text for finding in findings)
    assert "agent_run_steps has too many series" in texts
    assert "1 calls of gpt-x have no known price" in texts
    assert all(finding.fix for finding in findings)


def test_a_page_of_somebody_else_says_how_to_begin() -> None:
    """An application that is not instrumented is told from one that is."""
    with _serving(b"up 1\n") as url:
        (finding,) = probes.check_metrics(url)

    assert "watchkeeper.configure()" in finding.fix


def test_settings_that_work_against_telemetry_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name, no endpoint and no sampling each give a finding."""
    monkeypatch.setenv("WATCHKEEPER_SAMPLE_RATIO", "0")
    monkeypatch.delenv("WATCHKEEPER_SERVICE", raising=False)
    texts = [finding.text for finding in checks.check_settings()]

    assert any("no trace is kept (WATCHKEEPER_SAMPLE_RATIO)" in text for text in texts)
    assert any("unknown_service" in text for text in texts)


def test_a_setting_that_cannot_be_read_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """The four-part error is the finding."""
    monkeypatch.setenv("WATCHKEEPER_SAMPLE_RATIO", "often")
    (finding,) = checks.check_settings()

    assert "bad" == finding.level
    assert "often" in finding.text


def test_a_spool_that_cannot_be_written_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the directory should be is found before telemetry is lost to it."""
    (tmp_path / "spool").write_text("a file")
    monkeypatch.setenv("WATCHKEEPER_SPOOL_DIR", str(tmp_path / "spool" / "inner"))
    (finding,) = checks.check_spool()

    assert "bad" == finding.level


def test_a_place_where_workers_meet_is_left_as_it_was(tmp_path: Path) -> None:
    """Looking whether workers can share their metrics leaves nothing behind."""
    (finding,) = checks.check_group(tmp_path / "run" / "metrics")

    assert ("ok", []) == (finding.level, list(tmp_path.iterdir()))


def _open_to_others(folder: Path) -> None:
    folder.mkdir(mode=0o755)


def _a_file(folder: Path) -> None:
    folder.write_text("a file")


def _a_link(folder: Path) -> None:
    folder.symlink_to(folder.parent)


@pytest.mark.parametrize(
    ("spoil", "fix"),
    [(_open_to_others, "chmod 700 {}"), (_a_file, "rm {}"), (_a_link, "rm {}")],
)
def test_a_place_where_workers_cannot_meet_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], fix: str
) -> None:
    """A directory of metrics that is no private directory is found, with the command that mends it."""
    folder = tmp_path / "run"
    spoil(folder)
    (finding,) = checks.check_group(folder / "metrics")

    assert ("warn", fix.format(folder)) == (finding.level, finding.fix)
    assert str(folder) in finding.text


def test_a_place_of_somebody_else_is_named(tmp_path: Path) -> None:
    """A directory of another user is told by its owner."""
    folder = Path("/usr/lib")
    if os.getuid() == 0:
        folder = tmp_path / "run"
        folder.mkdir(mode=0o700)
        os.chown(folder, 65_534, 65_534)
    (finding,) = checks.check_group(folder / "metrics")

    assert f"belongs to user {folder.stat().st_uid}" in finding.text
    assert finding.fix.startswith(f"sudo rm -r {folder}, or set XDG_RUNTIME_DIR")


def test_a_place_without_room_is_named(tmp_path: Path) -> None:
    """Where no file can grow, the finding says that it is full, and nothing is left there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, hard))
    try:
        (finding,) = checks.check_group(tmp_path / "run" / "metrics")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "is full" in finding.text
    assert "make room there" in finding.fix
    assert [] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A directory of this user that he may not write is found by its mode."""
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o500)
    if os.getuid() == 0:  # may write everywhere; the mode of the inner one is wrong all the same
        folder.chmod(0o700)
        folder = folder / "metrics"
        folder.mkdir()
        folder.chmod(0o550)
    (finding,) = checks.check_group(tmp_path / "run" / "metrics")

    assert f"chmod 700 {folder}" == finding.fix


def test_a_server_started_twice_over_is_found() -> None:
    """A process below opentelemetry-instrument is named with its pid."""
    commands = {7: ["python", "/bin/opentelemetry-instrument", "uvicorn", "app:app"], 8: ["sh"]}
    (finding,) = checks.check_process_list(commands)

    assert "process 7" in finding.text


def test_the_command_prints_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """A bad finding makes the exit code 1, and the fix stands below it."""
    port = free_port()
    assert 1 == main(["doctor", "--endpoint", f"http://127.0.0.1:{port}"])

    assert "fix: start it with 'watchkeeper serve'" in capsys.readouterr().out


def test_a_port_in_use_is_a_warning() -> None:
    """A held port is named, with another one to use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        (finding,) = checks.check_port(port)

    assert finding.level == "warn"
    assert str(port + 1) in finding.fix


def test_an_obstructive_environment_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that switch telemetry off are found."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert [finding.level for finding in checks.check_environment()] == ["warn"]


def test_a_framework_without_what_traces_it_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain alone gives the command that mends it; with the package all is well."""
    assert ["ok"] == [finding.level for finding in checks.check_frameworks()]

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", missing)
    (finding,) = checks.check_frameworks()
    assert ("warn", "pip install openinference-instrumentation-langchain") == (
        finding.level,
        finding.fix,
    )


def test_every_finding_that_is_not_ok_has_a_fix() -> None:
    """Each check returns findings, and bad news comes with a remedy."""
    findings = [finding for check in checks.CHECKS for finding in check()]

    assert len(findings) >= len(checks.CHECKS)
    assert [finding for finding in findings if finding.level != "ok" and not finding.fix] == []
