"""Makes a Prometheus rule file of service level objectives.

Each objective becomes recording rules for the windows 5m to 3d, and alerts that page when the error
budget is spent 14.4 or 6 times too fast, or open a ticket at 3 or 1 times. See docs/alerting/slo.md.

  watchkeeper slo generate slo.yml
  watchkeeper slo generate slo.yml --grafana --output rules/slo.yml
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "slo"
HELP = "make a rule file of service level objectives"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("action", choices=("generate",), help="what to do: generate")
    add("file", type=Path, help="the SLO file")
    add("--output", type=Path, metavar="FILE", help="write here (default: print)")
    add("--grafana", action="store_true", help="link to the dashboards in Grafana, not to our own")


def run(args: argparse.Namespace) -> int:
    """Print or write the rule file; nothing is written if the SLO file has an error."""
    from watchkeeper.define.render.prometheus import Links, rule_file
    from watchkeeper.define.slo import slo_rules
    from watchkeeper.define.slofile import read_slos
    from watchkeeper.errors import RuleFileError
    from watchkeeper.server.promql.parser import parse
    from watchkeeper.vocabulary.limits import limit

    most = limit("rule_file_bytes_max")
    try:
        with args.file.open("rb") as file:
            raw = file.read(most + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileError(
            f"{args.file}: cannot be read: {error}. Accepted: a readable file in UTF-8. "
            "Next: check the path and the file."
        ) from None
    if len(raw) > most:
        raise RuleFileError(
            f"{args.file}: larger than {most} bytes. Accepted: up to rule_file_bytes_max. "
            "Next: split the file."
        )
    slos = read_slos(text, str(args.file), parse)
    links = Links.to_grafana() if args.grafana else Links()
    rules = rule_file(slo_rules(slos), links=links, keep_firing_for=False)
    rules = f"# Made by watchkeeper slo generate from {args.file.name}; change that, then make it again.\n{rules}"
    if args.output is None:
        print(rules, end="")
        return 0
    try:
        args.output.write_text(rules, encoding="utf-8")
    except OSError as error:
        raise RuleFileError(
            f"{args.output}: cannot be written: {error.strerror}. Accepted: a file in a folder that "
            "exists. Next: check the path."
        ) from None
    return 0
