"""Checks Prometheus rule files and runs their unit tests, on the engine that the server has.

Files are those of Prometheus: rule files as it loads them, unit tests as promtool reads them.
Exit code 0 means that all is well, 1 that a file is wrong or a test failed.

  watchkeeper rules check rules/*.yml
  watchkeeper rules test rules/tests/*.yml
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.server.rules.ruletest.run import Failure, Outcome

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "rules"
HELP = "check rule files and run their unit tests"

_CHECK = """\
Loads rule files as the server does, and says for each whether it is one.

A wrong file is named with the line. Rules that stand in a file twice are told, and are no error.
"""
_TEST = """\
Runs unit tests of rules, in promtool's format.

Series and rules run on a clock of their own, so that hours pass in milliseconds. Rule files are
named by the tests, relative to their file.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    kinds = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    form = argparse.RawDescriptionHelpFormatter
    check = kinds.add_parser("check", help="say whether files are rule files", description=_CHECK,
                             formatter_class=form)  # fmt: skip
    check.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a rule file")
    check.add_argument("--names", choices=("utf8", "legacy"), default="utf8",
        help="label names: any UTF-8, as Prometheus 3 takes them, or letters, digits and "
        "underscores only (default: utf8)")  # fmt: skip
    test = kinds.add_parser("test", help="run unit tests of rules", description=_TEST,
                            formatter_class=form)  # fmt: skip
    test.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a file of unit tests")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; return 1 if a file is wrong or a test failed."""
    return _check(args.files, args.names) if args.action == "check" else _test(args.files)


def _check(files: Sequence[Path], names: str) -> int:
    from watchkeeper.server.rules.check import check_file

    wrong = 0
    for path in files:
        found = check_file(path, names="legacy" if names == "legacy" else "utf8")
        if found.error:
            wrong += 1
            print(f"FAILED  {found.error}")
            continue
        print(f"OK      {path}: {found.rules} rules in {found.groups} groups")
        for duplicate in found.duplicates:
            print(f"        {duplicate} stands there more than once")
    return 1 if wrong else 0


def _test(files: Sequence[Path]) -> int:
    from watchkeeper.clock import SystemClock
    from watchkeeper.server.rules.ruletest.run import run_file

    failed = 0
    for path in files:
        outcome = run_file(path, SystemClock())
        failed += bool(outcome.failures)
        for line in _told(outcome):
            print(line)
    return 1 if failed else 0


def _told(outcome: Outcome) -> Iterator[str]:
    size = f"{outcome.tests} tests, {outcome.checks} expectations"
    if outcome.failures:
        yield f"FAILED  {outcome.path}: {size}, {len(outcome.failures)} failures"
    else:
        yield f"OK      {outcome.path}: {size}"
    for warning in outcome.warnings:
        yield f"  warning: {warning}"
    for failure in outcome.failures:
        yield from _failure(failure)


def _failure(failure: Failure) -> Iterator[str]:
    yield "  " + (f"{failure.where}: " if failure.where else "") + failure.what
    for title, texts in (("expected", failure.expected), ("got", failure.got)):
        if texts is not None:
            for place, text in enumerate(texts or ("nothing",)):
                yield f"    {title if place == 0 else '':<8}  {text}"
    if failure.hint:
        yield f"    {'hint':<8}  {failure.hint}"
