"""The command line: one parser, one file for each command."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

from watchkeeper.cli import (
    config,
    demo,
    docs,
    doctor,
    escalation,
    incidents,
    log_level,
    notify,
    oncall,
    routes,
    rules,
    run,
    serve,
    slo,
)
from watchkeeper.errors import WatchkeeperError

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = (
    demo, serve, run, doctor, rules, slo, routes, notify, incidents, oncall, escalation, config, docs,
    log_level,
)  # fmt: skip
"""Every command's module: NAME, HELP, ``arguments(parser)`` and ``run(args) -> int``."""

_EPILOG = """\
Start here:
  watchkeeper demo                     see everything on an example backend, then press Ctrl-C
  watchkeeper serve                    run the server for your own application
  watchkeeper run -- uvicorn app:app   make an application visible without changing its code
"""


class _Parser(argparse.ArgumentParser):
    """Answers a mistyped flag or command with the nearest one."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        wrong = [word for word in message.split() if word.startswith("-")]
        near = [
            m for word in wrong for m in difflib.get_close_matches(word.split("=")[0], known, 1)
        ]
        hint = f" Did you mean {near[0]}?" if near else ""
        self.exit(2, f"{self.prog}: {message}.{hint} Next: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = _Parser(
        prog="watchkeeper",
        description="Observability for Python AI backends: logs, metrics, traces, dashboards, alerts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for module in COMMANDS:
        sub = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The words after ``watchkeeper``; those of the process if None.

    Returns:
        0 on success, 1 if what was asked failed, 2 for a command line that makes no sense,
        130 after Ctrl-C.
    """
    top = parser()
    args = top.parse_args(argv)
    if args.version:
        from importlib.metadata import version

        print(f"watchkeeper {version('watchkeeper')}")
        return 0
    if args.command is None:
        top.print_help()
        return 2
    try:
        code: int = args.run(args)
    except WatchkeeperError as error:
        print(f"watchkeeper {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
