"""Shows the settings that an application started here would have, and where each value comes from.

The environment and watchkeeper.toml of the current folder are read exactly as configure() reads
them; arguments that the application's code passes to configure() are not known here. Secrets are
masked.

  watchkeeper config show
  watchkeeper config show --changed --json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

__all__ = ["HELP", "NAME", "arguments", "rows", "run"]

NAME = "config"
HELP = "show the settings in force and where each comes from"

_MASK = "[secret]"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("action", choices=("show",), help="what to do: show")
    add("--changed", action="store_true", help="only settings that differ from the default")
    add("--json", action="store_true", help="one JSON object instead of a table")


def rows(*, changed: bool, environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return value and origin of each setting, secrets masked.

    Args:
        changed: Leave out the settings that have their default.
        environ: The environment; by default this process's.

    Raises:
        SettingError: A setting is unknown, or its value cannot be read.
    """
    from watchkeeper.instrument.redaction.build import build
    from watchkeeper.instrument.settings import TABLE, load

    settings = load({}, environ)
    redactor = build(replace(settings, redact=True))
    found: dict[str, dict[str, Any]] = {}
    for name, row in TABLE.items():
        origin = settings.origins[name]
        if changed and origin == "default":
            continue
        value = getattr(settings, name)
        if name == "resource":
            value = {key: _MASK if redactor.is_secret(key) else item for key, item in value.items()}
        elif isinstance(value, Mapping):
            value = dict(value)
        elif name.endswith("endpoint"):
            value = redactor.query(value)
        if row.secret and value:
            value = _MASK
        found[name] = {"value": value, "origin": origin}
    return found


def run(args: argparse.Namespace) -> int:
    """Print the settings; return 1 if something in the environment or the file was passed over."""
    import orjson

    from watchkeeper.instrument.settings import load

    found = rows(changed=args.changed)
    ignored = load({}).ignored
    if args.json:
        shown = {"settings": found, "ignored": list(ignored)}
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2, default=str).decode())
        return 1 if ignored else 0
    lines = [("setting", "value", "from")]
    for name, entry in found.items():
        value = entry["value"]
        text = "none" if value is None or value in ("", (), {}) else str(value)
        lines.append((name, text, entry["origin"]))
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for line in lines:
        print(f"{line[0]:<{widths[0]}}  {line[1]:<{widths[1]}}  {line[2]}".rstrip())
    for sentence in ignored:
        print(f"ignored: {sentence}")
    return 1 if ignored else 0
