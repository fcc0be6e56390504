"""Reads the source tree once, for the rules of the house."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "watchkeeper"


class Module(NamedTuple):
    """One source file."""

    name: str
    """Dotted, ``watchkeeper.server.run`` for example; a package has its own name."""
    path: Path
    tree: ast.Module
    lines: int


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package, sorted by name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, ast.parse(text), text.count("\n")))
    return tuple(found)


def imports(module: Module, *, top_level_only: bool = False) -> set[str]:
    """Return the dotted names that *module* imports, ours and others'."""
    nodes = module.tree.body if top_level_only else list(ast.walk(module.tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known = {entry.name for entry in modules()}
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                found.add(deeper if deeper in known else node.module)
    return found


def room(name: str) -> str:
    """Return the room of a module: the first part below the package, or ``door``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "door"
