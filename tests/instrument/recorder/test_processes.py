"""Forks, exits and kills, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.instrument.recorder.collector import Collector, collecting

PREFIX = """
import os, sys, time, threading
from pathlib import Path
from watchkeeper.clock import SystemClock
from watchkeeper.instrument.recorder import HttpExporter, LogRecord, RandomIds, Recorder
clock = SystemClock()
spool = Path(sys.argv[2]) if len(sys.argv) > 2 else None
recorder = Recorder(
    {"service.name": "shop"}, clock=clock, ids=RandomIds(), spool_dir=spool,
    exporter=HttpExporter(sys.argv[1], clock=clock, timeout_s=20.0), interval_s=0.1,
    exit_timeout_s=2.0,
)
tracer = recorder.tracer_provider.get_tracer("test")
def emit(*names):
    for name in names:
        recorder.start(name).end()
"""


def command(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script after the prefix."""
    # A fork while threads run is what these scripts are about, so Python's warning stays off.
    source = PREFIX + textwrap.dedent(script)
    return [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source, *arguments]


def run(script: str, *arguments: str) -> str:
    """Run a script to its clean end and return its output."""
    done = subprocess.run(
        command(script, *arguments), capture_output=True, text=True, timeout=120, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def names(collector: Collector) -> list[str]:
    """Return the names of the spans that arrived, sorted."""
    return sorted(span.name for span in collector.spans())


def test_an_exit_without_shutdown_delivers() -> None:
    """A script that just ends loses nothing."""
    with collecting() as collector:
        run("emit('a', 'b'); recorder.emit_log(LogRecord(1, 9, 'info', 'bye', {}))", collector.url)
        assert ["a", "b"] == names(collector)
        assert ["bye"] == collector.log_bodies()


@pytest.mark.parametrize(
    "last", ["raise SystemExit(0)", "sys.exit()", "del recorder, tracer, emit"]
)
def test_other_ways_to_exit_deliver_too(last: str) -> None:
    """SystemExit and a recorder that nobody refers to any more lose nothing either."""
    with collecting() as collector:
        run(f"emit('a')\n{last}", collector.url)
        assert ["a"] == names(collector)


def test_spans_that_end_while_the_interpreter_exits_are_delivered() -> None:
    """An exit handler that ran before ours may still end spans."""
    with collecting() as collector:
        run("import atexit\nemit('a')\natexit.register(emit, 'at exit')", collector.url)
        assert ["a", "at exit"] == names(collector)


def test_a_fork_sends_its_own_spans_and_none_of_its_parents() -> None:
    """What the parent had queued, open and counted stays the parent's; ids differ."""
    with collecting() as collector:
        out = run(
            """
            recorder.add_end_hook(lambda span: os.write(1, f"{os.getpid() == parent} {span.name}\\n".encode()))
            parent = os.getpid()
            emit("queued before")
            recorder.flush(5)
            emit("still queued")
            recorder.emit_log(LogRecord(1, 9, "info", "parent", {}))
            with tracer.start_as_current_span("open"):
                child = os.fork()
                emit("child" if child == 0 else "parent")
                if child == 0:
                    recorder.emit_log(LogRecord(1, 9, "info", "child", {}))
                    assert 1 == recorder.stats().spans_started, recorder.stats()
            if child:
                assert os.waitpid(child, 0)[1] == 0
            """,
            collector.url,
        )
        spans = collector.spans()
        expected = ["child", "open", "parent", "queued before", "still queued"]
        assert expected == names(collector)
        assert 5 == len({span.span_id for span in spans})
        ids = {span.name: span.span_id for span in spans}
        parents = {span.name: span.parent_span_id for span in spans}
        assert ids["open"] == parents["child"] == parents["parent"]
        assert ["child", "parent"] == sorted(collector.log_bodies())
    assert sorted(["True queued before", "True still queued", "True parent", "True open",
                   "False child"]) == sorted(out.splitlines())  # fmt: skip


def test_a_fork_says_which_process_it_is() -> None:
    """The resource of a child has its own pid and instance id; given ones stay."""
    script = """
        import os, sys
        import watchkeeper
        watchkeeper.configure(
            service="shop", endpoint=sys.argv[1], spool_dir=sys.argv[2], resource={"team": "core"}
        )
        from opentelemetry import trace
        trace.get_tracer("t").start_span("parent").end()
        child = os.fork()
        if child == 0:
            trace.get_tracer("t").start_span("child").end()
            os._exit(0 if watchkeeper.flush(5) else 3)
        assert os.waitpid(child, 0)[1] == 0
        print(os.getpid(), child)
    """
    with collecting() as collector:
        with tempfile.TemporaryDirectory() as spool:
            done = subprocess.run(
                [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script),
                 collector.url, spool],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
        assert 0 == done.returncode, done.stderr
        found = {}
        for body in collector.accepted():
            (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
            values = {pair.key: pair.value for pair in resource.resource.attributes}
            for span in resource.scope_spans[0].spans:
                found[span.name] = values
    pids = {name: values["process.pid"].int_value for name, values in found.items()}
    ids = {values["service.instance.id"].string_value for values in found.values()}
    assert [int(pid) for pid in done.stdout.split()] == [pids["parent"], pids["child"]]
    assert 2 == len(ids)
    assert {"core"} == {values["team"].string_value for values in found.values()}


def test_a_fork_during_an_export_does_not_hang() -> None:
    """Locks that the parent's worker holds at the fork are new in the child."""
    with collecting() as collector:
        run(
            """
            stop = threading.Event()
            def busy():
                while not stop.is_set():
                    emit("busy")
                    time.sleep(0.0005)
            thread = threading.Thread(target=busy)
            thread.start()
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    emit("child")
                    os._exit(0 if recorder.shutdown(5) else 3)
                assert os.waitpid(child, 0)[1] == 0
            stop.set()
            thread.join()
            """,
            collector.url,
        )
        assert 10 == names(collector).count("child")
        spans = collector.spans()
        assert len(spans) == len({span.span_id for span in spans})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_deliver(method: str, tmp_path: Path) -> None:
    """A child that leaves through os._exit, as multiprocessing's do, delivers first."""
    with collecting() as collector:
        script = tmp_path / "script.py"
        body = f"""
import multiprocessing
if __name__ == "__main__":
    emit("parent")
    process = multiprocessing.get_context("{method}").Process(target=emit, args=("child",))
    process.start()
    process.join()
    assert process.exitcode == 0
"""
        script.write_text(PREFIX + body)
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", script, collector.url],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (0, "") == (done.returncode, done.stderr)
        assert ["child", "parent"] == names(collector)


def test_a_hanging_endpoint_does_not_hang_the_exit(tmp_path: Path) -> None:
    """The exit takes the deadline, and what was not sent is delivered by the next process."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        run("emit('a')\ntime.sleep(0.5)\nemit('b')", url, str(tmp_path))
        assert time.monotonic() - began < 8
    with collecting() as collector:
        run("emit('c')", collector.url, str(tmp_path))
        assert ["a", "b", "c"] == names(collector)


def test_the_spool_of_a_killed_process_is_adopted(tmp_path: Path) -> None:
    """After kill -9 the next process of the service delivers what was spooled, once."""
    with collecting() as gone:
        url = gone.url
    with subprocess.Popen(
        command("emit('a', 'b')\nprint('ready', flush=True)\ntime.sleep(60)", url, str(tmp_path)),
        stdout=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 20
        while not list(tmp_path.rglob("*.otlp")) and time.monotonic() < deadline:
            time.sleep(0.02)
        with collecting() as collector:
            run("emit('while it lives')", collector.url, str(tmp_path))
            assert ["while it lives"] == names(collector)
        process.send_signal(signal.SIGKILL)
    with collecting() as collector:
        run("emit('c')", collector.url, str(tmp_path))
        run("emit('d')", collector.url, str(tmp_path))
        assert ["a", "b", "c", "d"] == names(collector)
    assert [] == list(tmp_path.rglob("*.otlp"))


def test_a_span_in_a_signal_handler_cannot_deadlock() -> None:
    """Handlers that interrupt the recorder at any point may record, too."""
    with collecting() as collector:
        run(
            """
            import signal
            hits = [0]
            def handler(*_):
                hits[0] += 1
                emit("handler")
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            while hits[0] < 100:
                emit("loop")
                time.sleep(0.00005)
            signal.setitimer(signal.ITIMER_REAL, 0)
            """,
            collector.url,
        )
        assert names(collector).count("handler") >= 100
