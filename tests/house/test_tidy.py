"""What the source must not contain, and what to use instead."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator

from tests.house.rooms import ROOT, Module, modules, room

BANNED_CALLS = {
    "time.time": "Clock.now_ns",
    "time.time_ns": "Clock.now_ns",
    "datetime.now": "Clock.now_ns",
    "datetime.utcnow": "Clock.now_ns",
    "os.system": "subprocess.run with a list",
    "yaml.load": "yaml.safe_load",
    "re.match(": "RE2 for patterns from outside",
}
CLOCK_READERS = {"watchkeeper.clock"}
PRINTERS = {"cli"}


def dotted(node: ast.expr) -> str:
    """Return ``a.b`` for an attribute of a name, else the empty string."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every call."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func)


def tracked() -> list[str]:
    """Return the files that git tracks, as paths relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listing.stdout.splitlines()


def test_time_comes_from_a_clock() -> None:
    """Only the clock module reads the time; the demo is an application and may."""
    wrong = [
        f"{module.name}:{line} calls {name}, use {BANNED_CALLS[name]}"
        for module in modules()
        if module.name not in CLOCK_READERS and room(module.name) != "demo"
        for line, name in calls(module)
        if name in BANNED_CALLS
    ]

    assert wrong == []


def test_only_commands_print() -> None:
    """``print`` belongs to the command line."""
    wrong = [
        f"{module.name}:{line}"
        for module in modules()
        if room(module.name) not in PRINTERS
        for line, name in calls(module)
        if name == "print"
    ]

    assert wrong == []


def test_no_code_asks_whether_it_is_tested() -> None:
    """Production code never looks for the test runner."""
    words = re.compile(r"PYTEST|_called_from_test|sys\.modules\[.pytest")
    wrong = [
        module.name for module in modules() if words.search(module.path.read_text(encoding="utf-8"))
    ]

    assert wrong == []


def test_no_work_is_left_marked() -> None:
    """No FIXME, XXX or TODO is committed."""
    marks = re.compile(r"\b(FIXME|XXX|TODO)\b")
    wrong = [
        module.name for module in modules() if marks.search(module.path.read_text(encoding="utf-8"))
    ]

    assert wrong == []


def test_no_conflict_is_left_unresolved() -> None:
    """No text file holds the marks that a merge leaves where it needs a decision."""
    wrong = [
        name
        for name in tracked()
        if name.endswith((".md", ".py", ".toml", ".txt", ".yml", ".ts", ".tsx", ".css", ".sh"))
        and (ROOT / name).exists()
        and re.search(
            r"^(<{7}|>{7}) ", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE
        )
    ]

    assert wrong == []


def test_a_suppressed_rule_is_named() -> None:
    """Each ``noqa`` and ``type: ignore`` names its code."""
    bare = re.compile(r"#\s*noqa(?!:)|#\s*type:\s*ignore(?!\[)")
    wrong = [
        f"{module.name}:{number}"
        for module in modules()
        for number, line in enumerate(module.path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]

    assert wrong == []


def test_a_document_has_one_title() -> None:
    """Each Markdown page has exactly one first-level heading, outside code blocks."""
    wrong = []
    for name in tracked():
        if not name.endswith(".md") or not (ROOT / name).exists():
            continue
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        titles = sum(line.startswith("# ") for line in text.splitlines())
        if titles != 1:
            wrong.append(f"{name}: {titles}")

    assert wrong == []


def test_locked_files_name_no_registry() -> None:
    """Lock files hold hashes and no address to fetch from."""
    wrong = [
        name
        for name in tracked()
        if name.endswith(("package-lock.json", "requirements/dev.txt", "requirements/uv.txt"))
        and re.search(r"https?://(registry|pypi|files)\.", (ROOT / name).read_text("utf-8"))
    ]

    assert wrong == []


def test_every_test_states_its_rule() -> None:
    """Each test function has a docstring of one sentence or more."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == wrong


def test_links_between_documents_lead_somewhere() -> None:
    """Each relative link of a Markdown page names a file of the repository."""
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    wrong = [
        f"{name}: {target}"
        for name in tracked()
        if name.endswith(".md") and (ROOT / name).exists()
        for target in link.findall((ROOT / name).read_text(encoding="utf-8"))
        if not ((ROOT / name).parent / target).exists()
    ]

    assert [] == wrong


def test_every_decision_is_listed() -> None:
    """Each page of docs/decisions stands in its index."""
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert [] == [page.name for page in sorted(folder.glob("[0-9]*.md")) if page.name not in index]
