"""Sends a test notification to a receiver of alertmanager.yml, and says what came back.

Every integration of the receiver is told of an alert that fires and of its end, by the same senders
as a real one. Exit code 1 means that one of them did not take it.

  watchkeeper notify test on-call --config alertmanager.yml
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.server.alerts.config.model import Config

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "notify"
HELP = "send a test notification to a receiver and say what came back"

_TEST = """\
Sends a test notification to each integration of a receiver, through the real path.

An integration with send_resolved is also told of the end, so that no incident stays open.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command and its arguments."""
    kinds = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    test = kinds.add_parser(
        "test",
        help="send a test notification",
        description=_TEST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = test.add_argument
    add("receiver", metavar="RECEIVER", help="name of the receiver")
    add("--config", type=Path, required=True, metavar="FILE", help="an alertmanager.yml")
    add("--external-url", default="", metavar="URL", help="address of the UI, for links")
    add("--keep-open", action="store_true", help="do not tell of the alert's end")


def run(args: argparse.Namespace) -> int:
    """Send; return 1 if an integration did not take it.

    Raises:
        ConfigFileError: The file is wrong, or asks for what is not served.
        SettingError: There is no such receiver, it tells nobody, or its settings are wrong.
    """
    import asyncio

    from watchkeeper.server.alerts.config.loader import load_config_file

    config = load_config_file(args.config)
    return asyncio.run(_test(config, args))


async def _test(config: Config, args: argparse.Namespace) -> int:
    from watchkeeper.clock import SystemClock
    from watchkeeper.server.alerts.receivers.trial import try_receiver

    failed = 0
    async for one in try_receiver(
        config,
        args.receiver,
        SystemClock(),
        external_url=args.external_url,
        keep_open=args.keep_open,
    ):
        failed += not one.delivered
        word = "OK" if one.delivered else "FAILED"
        hint = "" if one.delivered else (" (a retry can help)" if one.retryable else " (final)")
        where = f"{one.kind}_configs[{one.index}]"
        print(f"{word:<6}  {where}  {one.status}  {one.took_ms} ms  {one.said}{hint}")
    return 1 if failed else 0
