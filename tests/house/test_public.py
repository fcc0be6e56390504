"""The public surface is a committed list, so that a change is seen in the diff."""

from __future__ import annotations

from tests.house.rooms import ROOT

import watchkeeper
from watchkeeper import testing

LIST = ROOT / "tests" / "house" / "public_names.txt"


def public_names() -> list[str]:
    """Return every public name of the door and of the testing kit."""
    names = [f"watchkeeper.{name}" for name in watchkeeper.__all__]
    return sorted(names + [f"watchkeeper.testing.{name}" for name in testing.__all__])


def test_the_public_names_are_the_committed_ones() -> None:
    """Adding or removing a public name changes tests/house/public_names.txt."""
    assert public_names() == LIST.read_text(encoding="utf-8").split()


def test_every_public_name_is_there_and_documented() -> None:
    """Each listed name exists, and each of them that is ours says what it is for."""
    for module in (watchkeeper, testing):
        assert sorted(module.__all__) == list(module.__all__)
        for name in module.__all__:
            assert (getattr(module, name).__doc__ or "").strip(), name


def test_the_readme_names_every_command_and_domain_function() -> None:
    """A newcomer finds the commands and the domain's words on the first page."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    words = [
        "configure",
        "agent_run",
        "llm_call",
        "tool_call",
        "pipeline",
        "auth_event",
        "get_logger",
    ]

    assert [] == [word for word in words if word not in page]
    assert [] == [name for name in ("demo", "serve", "run", "doctor") if f"watchkeeper {name}" not in page and f"make {name}" not in page]  # fmt: skip
