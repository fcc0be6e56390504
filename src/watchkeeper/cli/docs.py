"""Writes the generated reference pages and golden files anew (for developers of watchkeeper)."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "docs"
HELP = "write generated reference pages anew (for developers)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="repository root (default: .)"
    )


def run(args: argparse.Namespace) -> int:
    """Write every generated file below ``--root``."""
    from watchkeeper.cli.main import parser
    from watchkeeper.cli.reference import commands_page
    from watchkeeper.define.render import golden
    from watchkeeper.instrument.reference import settings_page
    from watchkeeper.vocabulary.reference import telemetry_page

    reference = args.root / "docs" / "reference"
    (reference / "telemetry.md").write_text(telemetry_page(), encoding="utf-8")
    (reference / "settings.md").write_text(settings_page(), encoding="utf-8")
    (reference / "commands.md").write_text(commands_page(parser()), encoding="utf-8")
    golden.write(args.root)
    print(f"written below {args.root}")
    return 0
