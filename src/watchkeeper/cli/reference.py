"""The reference page of the commands, made from their parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["commands_page"]


def commands_page(top: argparse.ArgumentParser) -> str:
    """Return docs/reference/commands.md as text, with a final line break.

    Args:
        top: The parser of every command.
    """
    lines = [
        "# Commands",
        "",
        "Every command and its options.",
        "This page is generated from the parsers; `make docs` writes it anew.",
        "",
    ]
    for name, parser in _commands(top):
        lines += [f"## watchkeeper {name}", "", *(parser.description or "").strip().splitlines()]
        options = [f"| `{option}` | {meaning} |" for option, meaning in _options(parser)]
        lines += ["", "| option | meaning |", "| --- | --- |", *options] if options else []
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in top._actions:  # noqa: SLF001 - argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            for name, parser in action.choices.items():
                yield name, parser
                yield from ((f"{name} {inner}", one) for inner, one in _commands(parser))


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:  # noqa: SLF001 - likewise
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):  # noqa: SLF001 - likewise
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        takes = "" if action.nargs == 0 or not action.option_strings else f" {_value(action)}"
        yield name + takes, (action.help or "").replace("|", "\\|")


def _value(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())
