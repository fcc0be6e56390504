"""Starts AgentDesk, an example AI backend under traffic, and the server that observes it.

Open the URL it prints. After a while faults make an alert fire, and mend themselves again.
Ctrl-C ends every process that was started.

With --check it drives one alert through firing, delivery and resolution, checks every promise
(each span and log stored, each trace complete, each panel filled, each metric and log event seen,
no process left over), writes the figures, and exits 0 only if all of them held.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "demo"
HELP = "show everything on an example AI backend under traffic"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--duration", type=float, default=None, metavar="S",
        help="end by itself after S seconds (default: until Ctrl-C; 60 with --check)")  # fmt: skip
    add("--port", type=int, default=8400, metavar="N", help="the server's port (default: 8400)")
    add("--no-browser", action="store_true", help="do not open a browser")
    add("--check", action="store_true", help="prove every promise and exit 0 only if all held")
    add("--json", type=Path, default=None, metavar="FILE", help="write the check's figures here")
    add("--kill-server", action="store_true",
        help="with --check: also kill -9 the server under load and start it again")  # fmt: skip
    add("--keep", type=Path, default=None, metavar="DIR",
        help="keep data and logs in DIR (default: a temporary folder, deleted at the end)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the demo, or its check."""
    from watchkeeper.cli.stage import Stage, check, show

    with Stage(port=args.port, keep=args.keep) as stage:
        if args.check:
            return check(
                stage,
                duration_s=args.duration or 60.0,
                json_file=args.json,
                kill_server=args.kill_server,
            )
        return show(stage, duration_s=args.duration, browser=not args.no_browser)
