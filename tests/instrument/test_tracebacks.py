"""Texts of exceptions that hold a lot are never made whole."""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN
from tests.instrument.logs.rig import Rig as LogRig
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument import tracebacks


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Attach a new rig."""
    with attached() as one:
        yield one


class Watched:
    """Counts how often it is written."""

    def __init__(self) -> None:
        self.written = 0

    def __repr__(self) -> str:
        self.written += 1
        return "watched"


def raised(error: BaseException, *, notes: tuple[str, ...] = ()) -> BaseException:
    """Return *error* with a traceback."""
    for note in notes:
        error.add_note(note)
    try:
        raise error  # noqa: TRY301 - for its traceback
    except BaseException as caught:  # noqa: BLE001 - given back
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ValueError("usual"),
        ValueError("two", 2),
        KeyError("name"),
        OSError(2, "No such file"),
        ValueError(["x"] * 10, {"a": (1, 2.5, None)}),
        ExceptionGroup("g", [ValueError("a"), KeyError("b")]),
    ],
)
def test_a_usual_exception_is_written_by_python(rig: Rig, error: Exception) -> None:
    """Message and traceback of an exception of usual size are those of Python, to the character."""
    error = raised(error)  # type: ignore[assignment]  # the same one
    with rig.recorder.tracer_provider.get_tracer("t").start_as_current_span("s") as span:
        span.record_exception(error)
    (event,) = rig.named("s").events
    assert str(error) == event.attributes["exception.message"]
    assert "".join(traceback.format_exception(error)) == event.attributes["exception.stacktrace"]


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda seen: ValueError(["x" * 100_000, seen]), "['xxxx"),
        (lambda seen: ValueError("x" * 100_000, seen), "('xxxx"),
        (lambda seen: KeyError(("x" * 100_000, seen)), "('xxxx"),
        (lambda seen: ValueError({"k": "x" * 100_000, "seen": seen}), "{'k': 'xxxx"),
        (lambda seen: ValueError([[["x" * 100_000]], seen]), "[[['xxxx"),
    ],
)
def test_a_heavy_exception_is_written_in_part(rig: Rig, make: Any, shown: str) -> None:
    """What lies beyond the limit is not even asked for its text, in spans and in log lines."""
    seen = Watched()
    error = raised(make(seen))
    with rig.recorder.tracer_provider.get_tracer("t").start_as_current_span("s") as span:
        span.record_exception(error)
    (event,) = rig.named("s").events
    log = LogRig()
    log.write("failed", exc_info=error)
    name = type(error).__name__
    assert str(event.attributes["exception.message"]).startswith(shown)
    assert f"{name}: {shown}" in str(event.attributes["exception.stacktrace"])
    assert "in raised" in str(event.attributes["exception.stacktrace"])
    assert log.line()["exception"]["message"].startswith(shown)
    assert str(log.records[0].attributes["exception.stacktrace"]).startswith("Traceback")
    assert 0 == seen.written


def test_causes_groups_and_notes_are_looked_at() -> None:
    """A heavy cause, member of a group or note makes the chain heavy; so does a very long chain."""
    heavy = ValueError(["x" * 1_000])
    outer = RuntimeError("outer")
    outer.__cause__ = heavy
    noted = raised(ValueError("a"), notes=("n" * 1_000,))
    long: BaseException = ValueError("0")
    for number in range(100):
        following = ValueError(str(number))
        following.__context__, long = long, following
    chains = [outer, ExceptionGroup("g", [heavy]), noted, long, ValueError("light")]
    assert [True, True, True, True, False] == [
        tracebacks.is_heavy_chain(one, 500) for one in chains
    ]
    texts = [tracebacks.formatted(one, 500) for one in chains]
    assert all(len(text) < 3_000 for text in texts)
    assert ("RuntimeError: outer" in texts[0], "ValueError: ['xx" in texts[0]) == (True, True)
    assert "nnnn" in texts[2]


def test_odd_arguments_do_no_harm(rig: Rig) -> None:
    """A list that holds itself, huge integers and arguments that are no tuple are recorded."""
    cycle: list[object] = []
    cycle.append(cycle)

    class OwnError(Exception):
        args = 5  # type: ignore[assignment]  # as careless code does

    with rig.recorder.tracer_provider.get_tracer("t").start_as_current_span("s") as span:
        for error in (ValueError(cycle), ValueError(10**100_000), OwnError("own")):
            span.record_exception(error)
    assert INVALID_SPAN is not span
    assert ["[[[", "<la", "own"] == [
        str(event.attributes["exception.message"])[:3] for event in rig.named("s").events
    ]
