"""The reference page of the settings, made from their table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields

from watchkeeper.instrument.settings import TABLE, Settings

__all__ = ["settings_page"]


def _default(value: object) -> str:
    if value is MISSING:
        return ""
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, Mapping):
        return "none" if not value else f"`{dict(value)}`"
    return f"`{value}`"


def settings_page() -> str:
    """Return docs/reference/settings.md as text, with a final line break."""
    defaults = {field.name: field.default for field in fields(Settings)}
    lines = [
        "# Settings",
        "",
        "What `watchkeeper.configure()` accepts, and the environment variables that say the same.",
        "An argument wins over the environment, then come `watchkeeper.toml` and the default.",
        "A secret can come from a file: `_FILE` behind its variable's name, or `_file` behind its key, names it.",
        "This page is generated from the table; `make docs` writes it anew.",
        "",
        "| setting | environment | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in TABLE.items():
        variables = ", ".join(f"`{variable}`" for variable in row.env)
        brief = row.brief.replace("|", "\\|") + (" A secret: never shown." if row.secret else "")
        lines.append(f"| `{name}` | {variables} | {_default(defaults[name])} | {brief} |")
    return "\n".join(lines) + "\n"
