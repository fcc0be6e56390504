"""Levels that change while the process runs: who may, how long, and that every worker follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.instrument.rig import Rig

from watchkeeper.cli.main import main
from watchkeeper.errors import LogLevelError, SettingError
from watchkeeper.instrument.integrations.asgi import Server as AsgiServer
from watchkeeper.instrument.integrations.wsgi import Server as WsgiServer
from watchkeeper.instrument.logs.admin import PATH, level_page
from watchkeeper.instrument.logs.control import LevelControl
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.signals import LevelSignal
from watchkeeper.instrument.metrics.listener import MetricsListener
from watchkeeper.instrument.pages import BODY_BYTES_MAX, Answer, Ask
from watchkeeper.instrument.runtime import build
from watchkeeper.instrument.settings import load
from watchkeeper.testing import wait_until
from watchkeeper.testing.clock import FixedClock

TOKEN = "correct-horse"


class Worker:
    """One process's control, as far as it matters here."""

    def __init__(self, clock: FixedClock, file: Path | None) -> None:
        self.applied: list[str] = []
        self.control = LevelControl(
            "info", {"shop": "warning"}, now_ns=clock.now_ns, file=file, apply=self._apply
        )
        self.page = level_page(self.control, TOKEN)

    def _apply(self, levels: Thresholds, source: str) -> None:
        del levels
        self.applied.append(source)

    def ask(self, method: str, body: object = None, token: str = TOKEN) -> Answer:
        """Ask for the page."""
        given = b"" if body is None else json.dumps(body).encode()
        return self.page(Ask(method, f"Bearer {token}", given))

    def level(self, name: str) -> int:
        """Return the level in force."""
        return self.control.thresholds[name]


@pytest.fixture
def clock() -> FixedClock:
    """Return a clock by hand."""
    return FixedClock()


@pytest.fixture
def worker(clock: FixedClock, tmp_path: Path) -> Worker:
    """Return a worker whose changes are shared."""
    return Worker(clock, tmp_path / "levels" / "shop.json")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_every_request_needs_the_token(worker: Worker, given: str, method: str) -> None:
    """Nothing is shown or changed without the right bearer token."""
    answer = worker.page(Ask(method, given, b'{"levels":{"":"debug"}}'))

    assert 401 == answer.status
    assert ("WWW-Authenticate", "Bearer") in answer.headers
    assert 20 == worker.level("x")


def test_a_level_changes_and_is_taken_back(worker: Worker) -> None:
    """A change goes before the settings until it is deleted; names below it follow."""
    before = worker.level("shop.db.query")
    changed = json.loads(worker.ask("PUT", {"levels": {"shop.db": "debug", "*": "error"}}).body)
    during = [worker.level(name) for name in ("shop.db.query", "shop", "other")]
    worker.ask("DELETE", {"loggers": ["shop.db"]})
    after = [worker.level(name) for name in ("shop.db.query", "other")]
    worker.ask("DELETE")

    assert (30, [10, 30, 40], [30, 40]) == (before, during, after)
    assert {"level": "debug", "ends_in_s": None} == changed["changes"]["shop.db"]
    assert 20 == worker.level("other")
    assert ["endpoint"] * 3 == worker.applied


def test_a_change_ends_by_itself(worker: Worker, clock: FixedClock) -> None:
    """Debug for ten minutes is over after ten minutes of the clock."""
    worker.ask("PUT", {"levels": {"shop": "debug"}, "for_s": 600})
    clock.advance(599)
    worker.control.poll()
    during = worker.level("shop")
    clock.advance(1)
    worker.control.poll()

    assert (10, 30) == (during, worker.level("shop"))
    assert ["endpoint", "expiry"] == worker.applied


def test_every_worker_follows(worker: Worker, clock: FixedClock) -> None:
    """A change in one process is seen by the others, also by those that start later."""
    other = Worker(clock, worker.control._file)
    worker.ask("PUT", {"levels": {"shop": "debug"}, "for_s": 600})
    other.control.poll()
    during = other.level("shop")
    late = Worker(clock, worker.control._file)
    late.control.poll()
    other.ask("DELETE")
    worker.control.poll()

    assert (10, 10, 30) == (during, late.level("shop"), worker.level("shop"))
    assert ["file", "endpoint"] == other.applied


def test_changes_of_several_workers_add_up(worker: Worker, clock: FixedClock) -> None:
    """Workers that have not seen each other's change yet do not undo it."""
    other = Worker(clock, worker.control._file)
    worker.ask("PUT", {"levels": {"a": "debug"}})
    other.ask("PUT", {"levels": {"b": "error"}})
    worker.control.poll()

    assert (10, 40) == (worker.level("a"), worker.level("b"))


def test_the_file_is_private(worker: Worker) -> None:
    """Only this user can read or change the levels in the file."""
    worker.ask("PUT", {"levels": {"a": "debug"}})
    file = worker.control._file
    assert file is not None

    assert [0o600, 0o700] == [file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777]


def test_a_damaged_file_changes_nothing(worker: Worker) -> None:
    """Levels of the settings stay in force if the file makes no sense."""
    file = worker.control._file
    assert file is not None
    file.parent.mkdir()
    file.write_text('{"changes": {"shop": {"level": 7}}}')
    worker.control.poll()

    assert 30 == worker.level("shop")


def test_without_a_home_the_change_stays_here(clock: FixedClock) -> None:
    """A process that cannot share says so, and changes its own levels."""
    alone = Worker(clock, None)
    state = json.loads(alone.ask("PUT", {"levels": {"shop": "debug"}}).body)

    assert (10, False) == (alone.level("shop"), state["shared"])


@pytest.mark.parametrize(
    "body",
    [
        {}, {"levels": {}}, {"levels": []}, {"levels": {"a": "loud"}}, {"levels": {"a": None}},
        {"levels": {"a": "debug"}, "for_s": -1}, {"levels": {"a": "debug"}, "for_s": "10m"},
        {"levels": {"a": "debug"}, "for_s": True}, {"levels": {"a\nb": "debug"}},
        {"levels": {"a" * 300: "debug"}}, [], 7,
    ],
)  # fmt: skip
def test_nonsense_is_refused(worker: Worker, body: object) -> None:
    """A body that makes no sense changes nothing and is told what would."""
    answer = worker.ask("PUT", body)

    assert 400 == answer.status
    assert b"shop.db" in answer.body
    assert [] == worker.applied


def test_limits_are_refused(worker: Worker) -> None:
    """Too many levels, a long body and other methods have their answers."""
    many = {"levels": {f"logger.{number}": "debug" for number in range(1_001)}}

    assert 422 == worker.ask("PUT", many).status
    assert 413 == worker.page(Ask("PUT", f"Bearer {TOKEN}", None)).status
    assert 405 == worker.ask("POST").status


async def test_the_page_is_served_by_asgi(worker: Worker) -> None:
    """An ASGI application answers the page before its own routes, and only while it exists."""
    rig = Rig()
    without = AsgiServer(rig)
    rig.pages = {PATH: worker.page}
    server = AsgiServer(rig)
    app = Starlette()

    async def asked(front: AsgiServer, body: bytes) -> httpx.Response:
        async def run(scope: Any, receive: Any, send: Any) -> None:
            await front.serve(app, scope, receive, send)

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(run), base_url="http://t"
        ) as client:
            return await client.put(
                PATH, content=body, headers={"Authorization": f"Bearer {TOKEN}"}
            )

    body = b'{"levels":{"shop":"debug"}}'
    answers = [
        (await asked(without, body)).status_code,
        (await asked(server, b"x" * (BODY_BYTES_MAX + 1))).status_code,
        (await asked(server, body)).status_code,
    ]

    assert [404, 413, 200] == answers
    assert 10 == worker.level("shop")
    # The page is no request of the application.
    assert [404] == [span.attributes["http.response.status_code"] for span in rig.spans]


def test_the_page_is_served_by_wsgi(worker: Worker) -> None:
    """A WSGI application answers the page before its own routes."""
    rig = Rig()
    rig.pages = {PATH: worker.page}
    server = WsgiServer(rig)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        del environ
        start_response("404 Not Found", [])
        return [b""]

    transport = httpx.WSGITransport(app=lambda e, s: server.serve(app, e, s))
    with httpx.Client(transport=transport, base_url="http://t") as client:
        answer = client.request(
            "PUT", PATH, json={"levels": {"shop": "debug"}},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )  # fmt: skip

    assert (200, 10) == (answer.status_code, worker.level("shop"))


@pytest.fixture
def listening(worker: Worker) -> Iterator[int]:
    """Return the port of a side listener with the page."""
    listener = MetricsListener(
        lambda _: (b"", "text/plain"), service="shop", pages={PATH: worker.page}
    )
    listener.start()
    yield listener.port
    listener.stop()


def test_the_side_listener_serves_the_page(worker: Worker, listening: int) -> None:
    """GET, PUT and DELETE work over one connection; other paths are not found."""
    connection = HTTPConnection("127.0.0.1", listening, timeout=5)
    found = []
    for method, path, body in (
        ("GET", PATH, b""), ("PUT", PATH, b'{"levels":{"shop":"debug"}}'), ("DELETE", PATH, b""),
        ("PUT", "/metrics", b""),
    ):  # fmt: skip
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        found.append((answer.status, worker.level("shop")))
    connection.close()

    assert [(200, 30), (200, 10), (200, 30), (404, 30)] == found


def test_the_command_changes_and_shows(
    worker: Worker, listening: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``watchkeeper log-level`` changes levels for a time, and shows what is in force."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    url = f"http://127.0.0.1:{listening}"
    with_token = ["--token-file", str(token)]
    code = main(["log-level", url, "shop.db=debug", "*=error", "--for", "10m", *with_token])
    shown = capsys.readouterr().out
    during = worker.level("shop.db")
    main(["log-level", url, "shop.db", "--reset", *with_token])

    assert (0, 10, 30) == (code, during, worker.level("shop.db"))
    assert "changed: shop.db: debug (for 600 s more)" in shown
    assert "changed: *: error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=debug", "--for", "soon"], "10m for ten minutes"),
        (["a"], "LOGGER=LEVEL"),
        (["a=debug", "--token-file", "/nowhere"], "permissions"),
    ],
)
def test_the_command_says_what_is_wrong(
    listening: int, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake on the command line is answered with what to do."""
    os.environ["WATCHKEEPER_ADMIN_TOKEN"] = "wrong"
    try:
        code = main(["log-level", f"http://127.0.0.1:{listening}", *words])
    finally:
        del os.environ["WATCHKEEPER_ADMIN_TOKEN"]

    assert 1 == code
    assert said in capsys.readouterr().err


def test_a_signal_runs_ours_and_the_one_before() -> None:
    """Both handlers run; ours is taken away again."""
    called: list[str] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: called.append("before"))
    handler = signal.getsignal(signal.SIGUSR2)
    ours = LevelSignal("SIGUSR2", lambda: called.append("ours"))
    ours.install()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert wait_until(lambda: len(called) == 2, 10)
    ours.uninstall()
    after = signal.getsignal(signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, before)

    assert (["ours", "before"], handler) == (called, after)


def test_other_threads_install_no_handler() -> None:
    """Outside of the main thread nothing is installed, and nothing raises."""
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.append(LevelSignal("SIGUSR2", lambda: None).install())
    )
    thread.start()
    thread.join()

    assert [False] == found


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGNOTHING"])
def test_signals_that_mean_something_else_are_refused(name: str) -> None:
    """A signal that cannot be handled or ends the process is no way to change levels."""
    with pytest.raises(SettingError, match="SIGUSR2"):
        load({"log_level_signal": name}, {})


def test_a_signal_reads_the_file_again(tmp_path: Path) -> None:
    """A real process has the levels of the changed file after the signal, without a restart."""
    (tmp_path / "watchkeeper.toml").write_text('[instrument]\nlog_level = "warning"\n')
    code = (
        "import sys, logging, watchkeeper\n"
        "watchkeeper.configure(endpoint='', log_level_signal='USR2')\n"
        "log = watchkeeper.get_logger('shop.db')\n"
        "print('ready', flush=True)\n"
        "for _ in sys.stdin:\n"
        "    log.debug('detail'); logging.getLogger('shop.db').debug('detail')\n"
        "    log.warning('end')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()

    def events() -> list[str]:
        process.stdin.write("\n")  # type: ignore[union-attr]  # asserted above
        process.stdin.flush()  # type: ignore[union-attr]  # asserted above
        found: list[str] = []
        while not found or found[-1] != "end":
            found.append(json.loads(process.stdout.readline())["event"])  # type: ignore[union-attr]  # asserted above
        return found

    before = events()
    text = '[instrument]\nlog_level = "warning"\n[instrument.log_levels]\n"shop.db" = "debug"\n'
    (tmp_path / "watchkeeper.toml").write_text(text)
    process.send_signal(signal.SIGUSR2)
    followed = wait_until(lambda: events().count("detail") == 2, 20)
    process.communicate(timeout=80)

    assert (["end"], True) == (before, followed)
    assert 0 == process.returncode


def test_what_changed_is_told_whoever_changed_it(clock: FixedClock) -> None:
    """Levels that differ from those at the start are listed, the root's and a tree's that is gone."""
    control = Worker(clock, None).control
    control.restart("warning", {"shop": "warning"})
    told = [control.described()]
    control.restart("info", {})
    told.append(control.described())
    control.change({"shop.db": "debug"})
    told.append(control.described())
    control.reset()
    control.restart("info", {"shop": "warning"})
    told.append(control.described())

    assert [["*=warning"], ["shop=info"], ["shop=info", "shop.db=debug"], []] == told


def test_an_unwritable_directory_is_an_error(clock: FixedClock, tmp_path: Path) -> None:
    """If the change cannot be shared it is not made, and the error says where."""
    (tmp_path / "levels").write_text("a file")
    worker = Worker(clock, tmp_path / "levels" / "shop.json")
    with pytest.raises(LogLevelError, match="levels"):
        worker.control.change({"a": "debug"})

    assert 20 == worker.level("a")


def test_the_number_of_changed_levels_is_a_setting(tmp_path: Path) -> None:
    """One logger more than `log_levels_max` is answered 422, and nothing changes."""
    settings = load({"endpoint": "", "admin_token": TOKEN, "log_levels_max": 2}, {})
    system = build(replace(settings, home=str(tmp_path)), clock=FixedClock()).log_system
    answers = []
    for names in (["a", "b"], ["c"]):
        body = json.dumps({"levels": dict.fromkeys(names, "debug")}).encode()
        answers.append(system.pages[PATH](Ask("PUT", f"Bearer {TOKEN}", body)).status)

    assert [200, 422] == answers
    assert (10, 20) == (system.thresholds["a"], system.thresholds["c"])
