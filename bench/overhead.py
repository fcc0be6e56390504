"""What observing an application costs: bare, with watchkeeper, and with peers, interleaved.

CPU time of the application's process with all its threads and the final delivery, per request;
everything sampled; a fresh process for each run. Prints a line for each variant, and as the last line
one JSON object. `added_cpu_ratio` is what watchkeeper adds over what OpenTelemetry's SDK with contrib
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
from collections import defaultdict
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


def run(
    variant: str, sink: str, warm_up: int, cycles: int, pause_s: float
) -> dict[str, float] | None:
    """Return one run's figures, or None if the variant failed; its output is then shown."""
    peer = PEERS / variant.partition("-")[0]
    paths = [str(peer)] if peer.is_dir() else []
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WATCHKEEPER_", "OTEL_"))
    }
    # As installed packages are: to compile them at import would leave its own traces in memory.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "pycache")
    environment["PYTHONPATH"] = os.pathsep.join([*paths, str(ROOT / "src"), str(ROOT)])
    read, write = os.pipe()
    try:
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" 3>&{write}', "sh", sys.executable,
             str(ROOT / "bench" / "overhead_variants.py"), variant, sink, str(warm_up), str(cycles),
             str(pause_s)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(write,),
            timeout=300, check=False, text=True,
        )  # fmt: skip
        os.close(write)
        figures = os.read(read, 65_536)
    finally:
        os.close(read)
    if done.returncode or not figures:
        print(f"{variant} failed: {done.stderr[-600:]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(figures)
    return found


def main() -> None:
    """Run every variant in turn, several times, and print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=25, help="cycles of twenty requests")
    parser.add_argument("--cycles", type=int, default=150, help="cycles of twenty requests")
    parser.add_argument(
        "--pause-ms", type=float, default=1.0,
        help="wait after twenty requests; 0 saturates the interpreter, and threads fight for it",
    )  # fmt: skip
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args()
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with sink() as url:
        for _ in range(options.rounds):
            for variant in options.variants:
                for name, value in (
                    run(variant, url, options.warm_up, options.cycles, options.pause_ms / 1e3) or {}
                ).items():
                    figures[variant][name].append(value)
    report({name: dict(values) for name, values in figures.items()})


def report(figures: dict[str, dict[str, list[float]]]) -> None:
    """Print a table of medians and, last, one JSON object."""
    medians = {
        variant: {name: statistics.median(values) for name, values in found.items()}
        for variant, found in figures.items()
    }
    base = medians["bare"]
    print(f"{'variant':<14}{'CPU µs':>9}{'range':>14}{'x bare':>8}{'calls':>8}{'MB':>7}")
    for variant, found in medians.items():
        values = figures[variant]["cpu_us"]
        spread = f"{min(values):.0f}-{max(values):.0f}"
        print(
            f"{variant:<14}{found['cpu_us']:>9.0f}{spread:>14}"
            f"{found['cpu_us'] / base['cpu_us']:>8.2f}{found['calls']:>8.0f}"
            f"{found['resident_mb']:>7.0f}"
        )
    added = {variant: found["cpu_us"] - base["cpu_us"] for variant, found in medians.items()}
    ours = medians.get("watchkeeper")
    result: dict[str, object] = {"medians": medians}
    if ours is not None:
        result["added_cpu_us"] = added["watchkeeper"]
        result["added_calls"] = ours["calls"] - base["calls"]
        result["added_resident_mb"] = ours["resident_mb"] - base["resident_mb"]
        for peer in medians.keys() - {"bare", "watchkeeper"}:
            result[f"added_cpu_ratio_{peer}"] = added["watchkeeper"] / added[peer]
        if "otel-default" in added:
            result["added_cpu_ratio"] = added["watchkeeper"] / added["otel-default"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
