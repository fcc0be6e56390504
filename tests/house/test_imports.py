"""Imports follow the arrows of ARCHITECTURE.md, and nothing imports in a circle."""

from __future__ import annotations

import ast

from tests.house.rooms import Module, imports, modules, room

ARROWS = {
    "door": {"instrument", "errors"},
    "errors": set[str](),
    "clock": set[str](),
    "vocabulary": set[str](),
    "instrument": {"vocabulary"},
    "define": {"vocabulary"},
    "server": {"define", "vocabulary"},
    "verify": {"define", "testing", "vocabulary"},
    "testing": {"door", "instrument", "server", "define", "vocabulary"},
    "demo": {"door"},
    "cli": {"verify", "server", "define", "instrument", "demo", "testing", "vocabulary", "door"},
}
EVERYONE_MAY = {"errors", "clock"}


def ours(module: Module) -> set[str]:
    """Return the modules of the package that *module* imports."""
    return {name for name in imports(module) if name.split(".")[0] == "watchkeeper"}


def test_a_room_imports_only_along_an_arrow() -> None:
    """Each import between rooms follows an arrow of the architecture."""
    wrong = []
    for module in modules():
        here = room(module.name)
        for target in ours(module):
            there = room(target)
            if there not in {here, *EVERYONE_MAY, *ARROWS[here]}:
                wrong.append(f"{module.name} imports {target}")

    assert wrong == []


def test_no_module_imports_in_a_circle() -> None:
    """The graph of module-level imports has no cycle."""
    graph = {
        module.name: {
            name
            for name in imports(module, top_level_only=True)
            if name.startswith("watchkeeper") and name != module.name
        }
        for module in modules()
    }
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> list[str]:
        if name in path:
            return [" -> ".join((*path[path.index(name) :], name))]
        if name in done:
            return []
        found = [
            line for target in sorted(graph.get(name, ())) for line in walk(target, (*path, name))
        ]
        done.add(name)
        return found

    assert [line for name in sorted(graph) for line in walk(name, ())] == []


def test_our_own_code_is_imported_at_the_top() -> None:
    """Only commands import our modules inside functions, so that --help stays quick."""
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if room(module.name) != "cli"
        for function in ast.walk(module.tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("watchkeeper")
    ]

    assert wrong == []


def test_package_files_only_re_export() -> None:
    """An ``__init__`` holds a docstring, imports and ``__all__``; nothing else."""
    allowed = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AnnAssign)
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.path.name == "__init__.py"
        for node in module.tree.body
        if not isinstance(node, allowed)
    ]

    assert wrong == []


def test_every_room_says_what_it_is_for() -> None:
    """Each module and package opens with a docstring."""
    assert [module.name for module in modules() if not ast.get_docstring(module.tree)] == []
