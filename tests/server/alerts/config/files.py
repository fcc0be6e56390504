"""Small configuration files for tests."""

from __future__ import annotations

from textwrap import dedent, indent

__all__ = ["whole", "with_receiver"]

_REST = """\
receivers:
- name: first
- name: second
- name: third
"""


def whole(route: str = "receiver: first", rest: str = "") -> str:
    """Return a file with *route* below ``route`` and three receivers; *rest* comes after."""
    return f"route:\n{indent(dedent(route).strip(), '  ')}\n{_REST}{dedent(rest)}"


def with_receiver(kind: str, fields: str, top: str = "") -> str:
    """Return a file with one receiver whose one ``<kind>_configs`` item has *fields*.

    Args:
        kind: The list's name without ``_configs``.
        fields: YAML of the item.
        top: YAML of ``global``.
    """
    above = f"global:\n{indent(dedent(top).strip(), '  ')}\n" if top else ""
    item = indent(dedent(fields).strip(), "    ").removeprefix("    ")
    return f"{above}route: {{receiver: first}}\nreceivers:\n- name: first\n  {kind}_configs:\n  - {item}\n"
