"""Rooms stay small: a ratchet on module and function lengths."""

from __future__ import annotations

import ast

from tests.house.rooms import modules

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LONG_MODULES: dict[str, int] = {}
"""Modules allowed to be longer, with the length they have: they may only shrink."""


def test_no_module_grows_beyond_its_bound() -> None:
    """A module has at most 500 lines, or the length noted above."""
    wrong = {
        module.name: module.lines
        for module in modules()
        if module.lines > LONG_MODULES.get(module.name, MODULE_LINES_MAX)
    }

    assert wrong == {}


def test_no_function_is_longer_than_a_page() -> None:
    """A function has at most 70 lines, its docstring included."""
    wrong = [
        f"{module.name}:{node.lineno} {node.name} has {length} lines"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for length in [(node.end_lineno or node.lineno) - node.lineno + 1]
        if length > FUNCTION_LINES_MAX
    ]

    assert wrong == []
