"""What an application may do to its logs: giant values, rude values, closed streams, full disks."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from tests.instrument.logs.rig import Rig
from tests.instrument.recorder.collector import collecting

from watchkeeper.instrument.logs import StdlibLogging, route
from watchkeeper.instrument.logs.bridge import Bridge

MEGABYTES = 100_000_000


class Recursive:
    """Shows itself inside itself, without end."""

    def __repr__(self) -> str:
        return f"<{self!r}>"


class Chatty:
    """Logs when it is shown."""

    def __repr__(self) -> str:
        logging.getLogger("faults_chatty").error("shown")
        return "chatty"


class Unfaithful(dict[str, object]):
    """A mapping that breaks off in the middle."""

    def items(self) -> Any:
        """Yield one item, then fail."""
        yield "a", 1
        raise OSError("gone")


GIANTS: dict[str, Callable[[], object]] = {
    "text": lambda: "x" * MEGABYTES,
    "bytes": lambda: b"\x00" * MEGABYTES,
    "nested": lambda: {"deep": [{"text": "y" * MEGABYTES}]},
    "list": lambda: list(range(1_000_000)),
    "wide": lambda: [["z" * MEGABYTES] * 1_000] * 1_000,
    "branching": lambda: reduce(lambda inner, _: [inner] * 100, range(6), list[object]()),
    "mapping": lambda: {str(number): number for number in range(200_000)},
    "control": lambda: "\x1b[31m\x00" * 1_000_000,
    "surrogates": lambda: "\ud83d" * 1_000_000,
}


@pytest.mark.parametrize("name", GIANTS)
def test_a_giant_value_becomes_a_short_valid_line(name: str) -> None:
    """However large a value is, line and record are small, and the line is JSON on one line."""
    rig = Rig(line_bytes_max=262_144, value_chars_max=16_384)
    rig.write("giant", value=GIANTS[name]())
    written = rig.out.getvalue()

    assert len(written.encode()) <= 262_144
    assert 1 == written.count("\n")
    assert not any(letter in written[:-1] for letter in ("\x00", "\x1b"))
    assert "giant" == json.loads(written)["event"]
    assert len(repr(rig.records[0].attributes)) < 2_000_000


PROXY = """
import logging, sys, watchkeeper
class Proxy:
    def __init__(self, logger): self.logger = logger
    def write(self, text):
        if text.strip(): self.logger.warning(text.strip())
    def flush(self): pass
watchkeeper.configure(service="proxy", endpoint="")
sys.stdout = sys.stderr = Proxy(logging.getLogger("redirected"))
print("printed")
watchkeeper.get_logger("ours").info("logged")
"""


def test_an_output_that_leads_to_logging_loses_no_line() -> None:
    """Where ``sys.stdout`` hands what is written to a logger, lines go to the process's output."""
    done = subprocess.run([sys.executable, "-c", PROXY], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("redirected", "printed"), ("ours", "logged")] == [
        (line["logger"], line["event"]) for line in lines
    ]


def test_a_giant_exception_is_cut() -> None:
    """Message, traceback and chain of an exception are bounded like every value."""
    rig = Rig(line_bytes_max=262_144, value_chars_max=16_384)
    error: Exception = ValueError("z" * MEGABYTES)
    for number in range(200):
        outer = RuntimeError(f"outer {number}")
        outer.__cause__, error = error, outer
    rig.write("failed", exc_info=error)

    assert len(rig.out.getvalue()) <= 262_144
    assert "outer 199" == rig.line()["exception"]["message"]
    assert len(str(rig.records[0].attributes["exception.stacktrace"])) < 20_000


def test_rude_values_cost_neither_entry_nor_error() -> None:
    """Values that recurse, log, or break off when they are shown become placeholders."""
    rig = Rig()
    bridge = StdlibLogging()
    route(rig.pipeline, 20)
    bridge.install(20)
    try:
        rig.write("rude", a=Recursive(), b=Chatty(), c=Unfaithful(x=1), d=[Recursive()])
        # Not through a logger: the test runner's own handler would raise.
        Bridge().emit(logging.LogRecord("f", 30, "f", 1, "with %s", (Recursive(),), None))
    finally:
        bridge.uninstall()
        route(None, 20)
    first, second = rig.lines()

    assert "[unprintable Recursive: RecursionError]" == first["a"]
    assert ("chatty", ["[unprintable Recursive: RecursionError]"]) == (first["b"], first["d"])
    assert "[unreadable Unfaithful: OSError]" == first["c"]
    assert "with %s" == second["event"]


def test_a_traceback_is_neutral_on_a_terminal() -> None:
    """Escape sequences in an exception's text, type and note cannot steer the terminal."""
    rig = Rig(console=True)
    error = type("Evil\x1b[2J", (Exception,), {})("\x1b]0;title\x07")
    error.add_note("\x1b[1mnote")
    rig.write("failed", exc_info=error)

    assert "\x1b" not in rig.out.getvalue()
    assert "\x07" not in rig.out.getvalue()


def run(code: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program in *folder*."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, timeout=200, check=False,
        **{"capture_output": True, **options},
    )  # fmt: skip


CLOSED = """
import os, sys, watchkeeper
runtime = watchkeeper.configure(endpoint="", service="closed")
log = watchkeeper.get_logger("faults")
{close}
for number in range(50):
    log.info("line", number=number)
lost = [line for line in runtime.metrics.exposition().decode().splitlines()
        if line.startswith('watchkeeper_telemetry_dropped_total{{signal="logs",reason="stream')]
sys.stderr.write("\\n".join(lost) + "\\n")
os._exit(0)
"""


@pytest.mark.parametrize(
    "close",
    [
        "read, write = os.pipe(); os.dup2(write, 1); os.close(write); os.close(read)",
        "sys.stdout.close()",
        "os.close(1)",
        "sys.stdout = None",
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
    ],
    ids=["broken pipe", "closed stream", "closed descriptor", "no stream", "full disk"],
)
def test_a_lost_standard_output_is_counted(tmp_path: Path, close: str) -> None:
    """The program goes on; every line is counted, and one sentence goes to stderr."""
    done = run(CLOSED.format(close=close), tmp_path)
    said = done.stderr.decode()

    assert 0 == done.returncode, said
    assert 1 == said.count("log lines cannot be written")
    assert 50.0 == float(said.split()[-1])


def test_a_full_disk_leaves_stderr_and_the_endpoint(tmp_path: Path) -> None:
    """Lines of a file that cannot be written go to stderr, and their records to the endpoint."""
    with collecting() as collector:
        done = run(
            "import watchkeeper\n"
            f"watchkeeper.configure(endpoint={collector.url!r}, service='full',\n"
            "    log_file='/dev/full', log_stdout=False)\n"
            "watchkeeper.get_logger('faults').info('kept', number=7)\n"
            "watchkeeper.shutdown()\n",
            tmp_path,
        )
        bodies = collector.log_bodies()
    lines = done.stderr.decode().splitlines()

    assert b"" == done.stdout
    assert 7 == json.loads(lines[0])["number"]
    assert "cannot be written" in lines[1]
    assert "kept" in bodies


def test_an_exporter_that_logs_does_not_feed_itself() -> None:
    """What is logged on the exporter's thread is written, never exported, at any level."""
    rig = Rig()
    bridge = StdlibLogging()
    route(rig.pipeline, 10)
    bridge.install(10)

    def export() -> None:
        for number in range(20):
            logging.getLogger("urllib3").debug("sending %s", number)

    thread = threading.Thread(target=export, name="watchkeeper-export")
    thread.start()
    thread.join()
    bridge.uninstall()
    route(None, 20)

    assert (20, 0) == (len(rig.lines()), len(rig.records))
