"""Checks alertmanager.yml, and tells which receivers an alert goes to.

The file is read as Alertmanager reads it, so that one file serves here and in production.
Exit code 0 means that all is well, 1 that a file is wrong or the receivers are not those expected.

  watchkeeper routes check alertmanager.yml
  watchkeeper routes check --serve alertmanager.yml
  watchkeeper routes test alertmanager.yml severity=page team=db
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchkeeper.server.alerts.config.loader import Checked

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "routes"
HELP = "check alertmanager.yml and tell where an alert goes"

_CHECK = """\
Gives Alertmanager's verdict on files, and names what the embedded server would refuse to serve.

With --serve, the verdict is the embedded server's: apprise_configs are fine, and what is not served
is an error.
"""
_TEST = """\
Prints the receivers that an alert with the given labels goes to, in order, with commas between.

The file may hold receivers that the embedded server does not serve.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    kinds = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    form = argparse.RawDescriptionHelpFormatter
    check = kinds.add_parser("check", help="say whether files are valid", description=_CHECK,
                             formatter_class=form)  # fmt: skip
    check.add_argument("files", metavar="FILE", nargs="+", type=Path, help="an alertmanager.yml")
    check.add_argument("--serve", action="store_true",
        help="judge for the embedded server, not for Alertmanager")  # fmt: skip
    test = kinds.add_parser("test", help="tell which receivers an alert goes to",
                            description=_TEST, formatter_class=form)  # fmt: skip
    test.add_argument("file", metavar="FILE", type=Path, help="an alertmanager.yml")
    test.add_argument("labels", metavar="NAME=VALUE", nargs="*", help="a label of the alert")
    test.add_argument("--expect", metavar="RECEIVERS",
        help="exit with 1 unless these are the receivers, in this order, commas between")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do what was asked; return 1 if a file is wrong or the receivers are not those expected.

    Raises:
        ConfigFileError: The file of ``routes test`` is wrong.
        MatcherError: A label of ``routes test`` is not ``name=value``.
    """
    if args.action == "check":
        return sum([_check(path, serve=args.serve) for path in args.files]) and 1
    return _test(args.file, args.labels, args.expect)


def _check(path: Path, *, serve: bool) -> int:
    from watchkeeper.errors import ConfigFileError
    from watchkeeper.server.alerts.config.loader import check_file

    try:
        found = check_file(path)
    except ConfigFileError as error:
        print(f"FAILED  {error}")
        return 1
    in_the_way = found.unsupported if serve else found.own
    judge = "the embedded server" if serve else "Alertmanager"
    print(f"{'FAILED' if in_the_way else 'OK':<6}  {path}: for {judge}")
    for line in _told(found):
        print(f"        {line}")
    return 1 if in_the_way else 0


def _told(found: Checked) -> Iterator[str]:
    from watchkeeper.server.alerts.config.route import walk

    config = found.config
    receivers = len(config.receivers)
    integrations = sum(len(receiver.integrations) for receiver in config.receivers.values())
    yield (
        f"{sum(1 for _ in walk(config.route))} routes, {receivers} receivers with {integrations} "
        f"integrations, {len(config.inhibit_rules)} inhibition rules, "
        f"{len(config.time_intervals)} time intervals, {len(config.templates)} templates"
        f"{', a global section' if found.has_global else ''}"
    )
    for line, what in found.unsupported:
        yield f"line {line}: the embedded server refuses {what}"
    for line, what in found.own:
        yield f"line {line}: Alertmanager refuses {what}, which only watchkeeper knows"


def _test(path: Path, labels: Sequence[str], expected: str | None) -> int:
    from watchkeeper.server.alerts.config.loader import check_file
    from watchkeeper.server.alerts.config.route import matching_routes

    route = check_file(path).config.route
    found = matching_routes(route, dict(_label(text) for text in labels))
    receivers = ",".join(node.receiver for node in found)
    print(receivers)
    if expected is None or receivers == expected:
        return 0
    print(f"FAILED  expected {expected}")
    return 1


def _label(text: str) -> tuple[str, str]:
    from watchkeeper.errors import MatcherError
    from watchkeeper.server.alerts.config.matchers import parse_matcher

    matcher = parse_matcher(text)
    if matcher.op != "=":
        raise MatcherError.explain(
            "a label of an alert has no single value",
            got=text,
            accepted="name=value",
            next_step=f"write = in place of {matcher.op}",
        )
    return matcher.name, matcher.value
