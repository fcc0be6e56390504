"""Shows who is on call now and next, for each schedule of a running server.

watchkeeper oncall --hours 48
"""

from __future__ import annotations

import argparse

from watchkeeper.cli.incidents import add_server, ask

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "oncall"
HELP = "show who is on call"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--hours", type=int, default=168, help="how far ahead (default: 168)")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Print each schedule with its shifts; return 1 if somewhere nobody is on call now."""
    from watchkeeper.server.alerts.escalation.shown import moment, plain

    schedules = ask(args.server, "GET", "oncall", hours=str(max(args.hours, 1))).json()["schedules"]
    for entry in schedules:
        now = entry["now"] or "NOBODY"
        print(plain(f"{entry['schedule']}: {now} ({entry['time_zone']}; times below are UTC)"))
        for shift in entry["shifts"]:
            origin = f"  ({shift['origin']})" if shift["origin"] else ""
            user = shift["user"] or "NOBODY"
            span = f"{moment(shift['start_ms'])} - {moment(shift['end_ms'])}"
            print(plain(f"  {span}  {user}{origin}"))
    if not schedules:
        print("no schedules: start the server with --escalation FILE")
    return 1 if any(entry["now"] is None for entry in schedules) else 0
