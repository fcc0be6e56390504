"""Reads an escalation file as the server would, and says what is wrong, or who is on call.

watchkeeper escalation check escalation.yml
watchkeeper escalation check escalation.yml --alertmanager-config alertmanager.yml
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "escalation"
HELP = "check an escalation file"

_DAYS = 28
_HOUR_MS = 3_600_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("check",), help="what to do: check")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--alertmanager-config", type=Path, metavar="FILE",
                        help="also look whether it has the receivers")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print what the file holds and the gaps of its schedules; return 1 if it cannot be used."""
    from watchkeeper.clock import SystemClock
    from watchkeeper.server.alerts.config.loader import load_config_file
    from watchkeeper.server.alerts.escalation.loader import load_file, unknown_receivers
    from watchkeeper.server.alerts.escalation.oncall import shifts
    from watchkeeper.server.alerts.escalation.shown import moment, plain

    book = load_file(args.file)
    errors = []
    if args.alertmanager_config is not None:
        config = load_config_file(args.alertmanager_config)
        errors = unknown_receivers(book, config.receivers, str(args.file))
    for error in errors:
        print(plain(error))
    now_ms = SystemClock.now_ns() // 1_000_000
    for schedule in book.schedules.values():
        listed = shifts(schedule, now_ms, now_ms + _DAYS * 24 * _HOUR_MS)
        print(plain(f"schedule {schedule.name}: {listed[0].user or 'NOBODY'} is on call now"))
        gaps = [shift for shift in listed if shift.user is None]
        for gap in gaps[:5]:
            print(f"  gap: {moment(gap.start_ms)} - {moment(gap.end_ms)}")
        if len(gaps) > 5:
            print(f"  and {len(gaps) - 5} more gaps within {_DAYS} days")
    counts = (
        f"{len(book.users)} users, {len(book.schedules)} schedules, {len(book.policies)} policies"
    )
    print(f"{args.file}: {'cannot be used' if errors else 'valid'}: {counts}")
    return 1 if errors else 0
