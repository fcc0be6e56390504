"""Looks for what commonly keeps telemetry from arriving, and says how to mend each finding in a line.

watchkeeper doctor
watchkeeper doctor --metrics http://127.0.0.1:8000/metrics   of a running application
"""

from __future__ import annotations

import argparse
import os
import sys

from watchkeeper.cli.checks import CHECKS, Finding, check_port
from watchkeeper.cli.probes import check_endpoint, check_metrics, check_targets

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "doctor"
HELP = "find out why telemetry does not arrive"

_COLOURS = {"ok": "32", "warn": "33", "bad": "31"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--endpoint", help="OTLP/HTTP endpoint to try (default: those that are set)")
    add("--port", type=int, default=8400, help="port that the server would use (default: 8400)")
    add("--metrics", metavar="URL", help="metrics page of a running application to look at")
    add("--metrics-token", default=os.environ.get("WATCHKEEPER_METRICS_TOKEN", ""), metavar="TOKEN",
        help="bearer token of that page (or WATCHKEEPER_METRICS_TOKEN)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print every finding; return 1 if one of them is bad."""
    findings = [finding for check in CHECKS for finding in check()]
    findings += _endpoints(args.endpoint) + check_port(args.port)
    if args.metrics:
        findings += check_metrics(args.metrics, args.metrics_token)
    for finding in findings:
        print(_shown(finding))
    bad = sum(finding.level == "bad" for finding in findings)
    print(f"{len(findings)} findings, {bad} bad")
    return 1 if bad else 0


def _shown(finding: Finding) -> str:
    mark = f"{finding.level:<4}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        mark = f"\x1b[{_COLOURS[finding.level]}m{mark}\x1b[0m"
    fix = f"\n     fix: {finding.fix}" if finding.fix else ""
    return f"{mark} {finding.text}{fix}"


def _endpoints(asked: str | None) -> list[Finding]:
    from watchkeeper.errors import SettingError
    from watchkeeper.instrument.settings import load

    try:
        settings = load({})
    except SettingError:
        # `check_settings` has said so.
        return check_endpoint(asked) if asked else []
    return check_endpoint(asked, settings.headers) if asked else check_targets(settings)
