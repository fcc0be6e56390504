"""Rule files are read anew while the server runs: on request, and on SIGHUP."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from watchkeeper.testing import free_port, wait_until
from watchkeeper.testing.server import EmbeddedServer

GOOD = "groups:\n- name: g\n  rules:\n  - {record: one, expr: vector(1)}\n"
MORE = GOOD + "  - {record: two, expr: vector(2)}\n"
BAD = "groups:\n- name: g\n  rules:\n  - {record: one, expr: 'vector('}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a folder with one rule file."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "r.yml").write_text(GOOD)
    return folder


@pytest.fixture
def server(tmp_path: Path, rules: Path) -> Iterator[EmbeddedServer]:
    """Yield a server whose rules are that folder."""
    with EmbeddedServer(tmp_path / "server", rule_files=(rules,)) as running:
        yield running


def get(url: str, path: str) -> Any:
    """Return the JSON of an answer."""
    return httpx.get(f"{url}{path}", trust_env=False).json()


def reload(url: str, **headers: str) -> httpx.Response:
    """Ask for a reload."""
    return httpx.post(f"{url}/-/reload", headers=headers, trust_env=False, timeout=20)


def names(url: str) -> list[str]:
    """Return the names of the rules in force."""
    groups = get(url, "/api/v1/rules")["data"]["groups"]
    return [rule["name"] for group in groups for rule in group["rules"]]


def metric(url: str, name: str) -> float:
    """Return one of the server's own metrics."""
    page = httpx.get(f"{url}/metrics", trust_env=False).text
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(name + " "))


def test_a_reload_takes_what_is_there_now(server: EmbeddedServer, rules: Path) -> None:
    """Changed and new files of the folder are in force after POST or PUT; GET changes nothing."""
    (rules / "r.yml").write_text(MORE)
    (rules / "s.yaml").write_text(GOOD.replace("one", "three"))
    answer = reload(server.url)
    assert (200, "reloaded\n") == (answer.status_code, answer.text)
    assert ["one", "two", "three"] == names(server.url)
    assert 200 == httpx.put(f"{server.url}/-/reload", trust_env=False).status_code
    assert 400 <= httpx.get(f"{server.url}/-/reload", trust_env=False).status_code


def test_a_bad_file_keeps_its_rules_and_is_shown(server: EmbeddedServer, rules: Path) -> None:
    """The answer, the status and the metrics name it with its line until it is good again."""
    before = metric(server.url, "watchkeeper_server_rule_reload_time_seconds")
    assert 0.0 == metric(server.url, "watchkeeper_server_rule_files_refused")
    (rules / "r.yml").write_text(BAD)
    answer = reload(server.url)
    assert 500 == answer.status_code
    assert f"{rules}/r.yml:4: expr cannot be evaluated" in answer.text
    assert ["one"] == names(server.url)
    shown = get(server.url, "/api/watchkeeper/v1/status")["rule_errors"]
    assert [str(rules / "r.yml")] == list(shown)
    assert ":4: expr" in shown[str(rules / "r.yml")]
    assert 1.0 == metric(server.url, "watchkeeper_server_rule_files_refused")
    assert before == metric(server.url, "watchkeeper_server_rule_reload_time_seconds")
    assert not get(server.url, "/api/v1/status/runtimeinfo")["data"]["reloadConfigSuccess"]

    (rules / "r.yml").write_text(MORE)
    assert 200 == reload(server.url).status_code
    assert ["one", "two"] == names(server.url)
    assert {} == get(server.url, "/api/watchkeeper/v1/status")["rule_errors"]
    assert 0.0 == metric(server.url, "watchkeeper_server_rule_files_refused")
    assert before < metric(server.url, "watchkeeper_server_rule_reload_time_seconds")
    assert get(server.url, "/api/v1/status/runtimeinfo")["data"]["reloadConfigSuccess"]


def test_another_site_cannot_reload(server: EmbeddedServer) -> None:
    """A page of another site that posts to the route is refused."""
    assert 403 == reload(server.url, origin="http://evil.example").status_code


def command(tmp_path: Path, rules: Path, port: int) -> list[str]:
    """Return the words that start a server."""
    return [
        sys.executable, "-m", "watchkeeper.cli", "serve", "--port", str(port), "--otlp-port", "0",
        "--data-dir", str(tmp_path / "data"), "--rules", str(rules / "*.yml"),
    ]  # fmt: skip


def ready(url: str) -> bool:
    """Return whether the server answers."""
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_sighup_reloads(tmp_path: Path, rules: Path) -> None:
    """The signal does what the request does, a bad file is logged, and the server lives on."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command(tmp_path, rules, port), stdin=subprocess.DEVNULL, stderr=stderr
        )
    try:
        assert wait_until(lambda: ready(url), 30)
        (rules / "r.yml").write_text(MORE)
        process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: names(url) == ["one", "two"], 15)
        (rules / "r.yml").write_text(BAD)
        process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: "r.yml:4: expr cannot" in log.read_text(), 15)
        assert ["one", "two"] == names(url)
    finally:
        process.terminate()
        assert 0 == process.wait(80)


def test_a_server_whose_terminal_is_gone_ends(tmp_path: Path, rules: Path) -> None:
    """Closing the window in which it was started ends the server, as it ends other programs."""
    port = free_port()
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command(tmp_path, rules, port), stdin=theirs, stderr=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=take_terminal,  # noqa: PLW1509 - no threads in the child
    )  # fmt: skip
    os.close(theirs)
    try:
        assert wait_until(lambda: ready(f"http://127.0.0.1:{port}"), 30)
    finally:
        os.close(ours)
        assert 0 == process.wait(80)
