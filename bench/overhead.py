"""What observing an application costs: bare, with watchkeeper, and with peers, in turns.

CPU time of the application's process with all its threads, per request, everything sampled. Each
variant has a process; they take turns of five hundred requests, and each turn ends with the delivery of
what it recorded. Prints a line for each variant, and as the last line one JSON object. `added_cpu_ratio` is what watchkeeper adds over what OpenTelemetry's SDK with contrib
adds, both as their documentation sets them up; the gate is 0.20. `added_cpu_ratio_otel` is the same
against OpenTelemetry without its spans for each ASGI message.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peer"
VARIANTS = ("bare", "watchkeeper", "otel", "otel-default", "logfire", "sentry", "elastic")
_SINK = """
import sys
sys.path.insert(0, {bench!r})
from overhead import serve
serve()
"""


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take anything."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = "application/json" if "json" in self.headers.get("Content-Type", "") else None
        body = b"{}" if kind else b""
        self.send_response(200)
        self.send_header("Content-Type", kind or "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer Elastic's question for the server's version."""
        body = b'{"version":"8.15.0"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""


def serve() -> None:
    """Be the sink until the standard input closes; prints the port first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


@contextmanager
def sink() -> Iterator[str]:
    """Yield the URL of a process that takes any telemetry."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SINK.format(bench=str(ROOT / "bench"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate("")


def environment(variant: str) -> dict[str, str]:
    """Return the environment in which a variant finds its library, and no settings of others."""
    peer = PEERS / variant.partition("-")[0]
    paths = [str(peer)] if peer.is_dir() else []
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WATCHKEEPER_", "OTEL_"))
    }
    # As installed packages are: to compile them at import would leave its own traces in memory.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    found["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "pycache")
    found["PYTHONPATH"] = os.pathsep.join([*paths, str(ROOT / "src"), str(ROOT)])
    return found


class Runner:
    """A process that runs one variant, a turn at a time.

    Args:
        variant: Its name.
        sink: URL that takes telemetry.
        warm_up: Cycles before the first turn.
        pause_s: Wait after each cycle.
    """

    def __init__(self, variant: str, sink: str, warm_up: int, pause_s: float) -> None:
        read, write = os.pipe()
        self.variant = variant
        self._figures = os.fdopen(read, encoding="ascii")
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "overhead_variants.py"), variant, sink,
             str(warm_up), str(pause_s), str(write)],
            env=environment(variant), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(write,),
            text=True,
        )  # fmt: skip
        os.close(write)
        self._next()

    def turn(self, cycles: int) -> float:
        """Return microseconds of CPU for one request, the mean of that many cycles."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.write(f"{cycles}\n")
        self._process.stdin.flush()
        return float(self._next())

    def end(self) -> dict[str, float]:
        """Let the process end; returns what is measured once."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._process.stdin.close()
        found: dict[str, float] = json.loads(self._next())
        self._process.wait(60)
        return found

    def _next(self) -> str:
        line = self._figures.readline()
        if not line:
            raise SystemExit(f"{self.variant} failed; its own message is above")
        return line


def main() -> None:
    """Let the variants take turns, and print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="turns of each variant")
    parser.add_argument(
        "--cycles", type=int, default=25, help="cycles of twenty requests in a turn"
    )
    parser.add_argument("--warm-up", type=int, default=25, help="cycles before the first turn")
    parser.add_argument(
        "--pause-ms", type=float, default=1.0,
        help="wait after twenty requests; 0 saturates the interpreter, and threads fight for it",
    )  # fmt: skip
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args()
    costs: dict[str, list[float]] = {variant: [] for variant in options.variants}
    with sink() as url:
        runners = [
            Runner(variant, url, options.warm_up, options.pause_ms / 1e3)
            for variant in options.variants
        ]
        for _ in range(options.turns):
            for runner in runners:
                costs[runner.variant].append(runner.turn(options.cycles))
        report(costs, {runner.variant: runner.end() for runner in runners})


def report(costs: dict[str, list[float]], last: dict[str, dict[str, float]]) -> None:
    """Print a table and, last, one JSON object.

    What a variant adds is the median of its differences from the bare application in the same round
    of turns: a machine that is slow for a while is slow for both.
    """
    bare = costs["bare"]
    added = {
        variant: [cost - base for cost, base in zip(values, bare, strict=True)]
        for variant, values in costs.items()
    }
    print(
        f"{'variant':<14}{'CPU µs':>8}{'added':>8}{'quartiles':>14}{'x bare':>8}{'calls':>8}{'MB':>6}"
    )
    for variant, values in costs.items():
        low, middle, high = statistics.quantiles(added[variant], n=4)
        print(
            f"{variant:<14}{statistics.median(values):>8.0f}{middle:>8.0f}"
            f"{f'{low:.0f} to {high:.0f}':>14}"
            f"{1 + middle / statistics.median(bare):>8.2f}{last[variant]['calls']:>8.0f}"
            f"{last[variant]['resident_mb']:>6.0f}"
        )
    result: dict[str, object] = {"cpu_us": costs, "once": last}
    if "watchkeeper" in costs:
        ours = statistics.median(added["watchkeeper"])
        result["added_cpu_us"] = ours
        for name in ("calls", "resident_mb"):
            result[f"added_{name}"] = last["watchkeeper"][name] - last["bare"][name]
        for peer in costs.keys() - {"bare", "watchkeeper"}:
            result[f"added_cpu_ratio_{peer}"] = ours / statistics.median(added[peer])
        if "otel-default" in costs:
            result["added_cpu_ratio"] = result["added_cpu_ratio_otel-default"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
