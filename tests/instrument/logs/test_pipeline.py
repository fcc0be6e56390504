"""One entry in, one line and one OTLP record out, whatever the values are."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument import context
from watchkeeper.instrument.cuts import cuts
from watchkeeper.instrument.logs.values import Bounds, plain
from watchkeeper.instrument.recorder import RandomIds, Recorder
from watchkeeper.testing.clock import FixedClock


class Rude:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Colour(Enum):
    """An enumeration."""

    RED = "red"


@dataclass
class Point:
    """A data class."""

    x: int


def fail_twice() -> None:
    """Raise an error that another one caused."""
    try:
        dict[str, int]()["inner"]
    except KeyError as inner:
        raise ValueError("outer") from inner


def test_a_line_has_a_stable_shape() -> None:
    """Time, level, logger, event and service come first, then the fields in their order."""
    rig = Rig()
    rig.clock.advance(0.000_001)
    rig.write("order.paid", b=1, a=2.5, ok=True, none=None)

    assert rig.out.getvalue() == (
        '{"time":"2026-01-01T00:00:00.000001Z","level":"info","logger":"test",'
        '"event":"order.paid","service":"shop","b":1,"a":2.5,"ok":true,"none":null}\n'
    )


def test_a_record_mirrors_the_line() -> None:
    """The record has time, severity, body, logger and the fields as attributes."""
    rig = Rig()
    rig.write("order.paid", order_id=7, none=None)
    record = rig.records[0]

    assert (rig.clock.now_ns(), 9, "INFO", "order.paid", "test", {"order_id": 7}) == (
        record.time_ns,
        record.severity_number,
        record.severity_text,
        record.body,
        record.logger,
        record.attributes,
    )


def test_the_current_span_and_context_are_on_both() -> None:
    """Trace, span, request, user and tenant ids are on the line and on the record."""
    recorder = Recorder({}, clock=FixedClock(), ids=RandomIds(), exporter=None)
    rig = Rig()
    tracer = recorder.tracer_provider.get_tracer("t")
    with (
        tracer.start_as_current_span("work") as span,
        context.bind(request_id="r", user_id="u", tenant_id="t", step=3),
    ):
        rig.write()
        ids = span.get_span_context()
    line, record = rig.line(), rig.records[0]

    assert (f"{ids.trace_id:032x}", f"{ids.span_id:016x}") == (line["trace_id"], line["span_id"])
    assert (ids.trace_id, ids.span_id) == (record.trace_id, record.span_id)
    assert ("r", "u", "t", 3) == tuple(
        line[key] for key in ("request_id", "user_id", "tenant_id", "step")
    )
    assert {"request.id": "r", "user.id": "u", "tenant.id": "t", "step": 3} == record.attributes


def test_a_field_cannot_take_the_place_of_a_fixed_key() -> None:
    """A field called ``level`` becomes ``level_``."""
    rig = Rig()
    rig.write(level="high", trace_id="x")

    assert ("info", "high", "x") == (
        rig.line()["level"],
        rig.line()["level_"],
        rig.line()["trace_id_"],
    )


def test_secrets_are_masked() -> None:
    """Values under secret names are masked on the line and on the record, nested ones too."""
    rig = Rig()
    rig.write(password="hunter2", deep={"x": [{"api_key": "hunter2"}]}, has_password=True)

    assert "hunter2" not in rig.out.getvalue()
    assert "hunter2" not in repr(rig.records)
    assert rig.line()["password"] == "[redacted]"
    assert rig.line()["has_password"] is True


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Rude(), "[unprintable Rude: RuntimeError]"),
        (b"abc", "[3 bytes]"),
        (2**70, str(2**70)),
        (10**6000, f"[integer of {(10**6000).bit_length()} bits]"),
        (float("inf"), None),
        ({1, 2}, [1, 2]),
        ({3: Rude()}, {"3": "[unprintable Rude: RuntimeError]"}),
        (Colour.RED, "red"),
        (Decimal("1.5"), "1.5"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/x"), "/x"),
        ("\ud800x", "?x"),
        ("nul\x00 \x1b[31m", "nul\x00 \x1b[31m"),
        ("x" * 2_000, "x" * 1_000 + "…[cut, 2000 characters]"),
        (Point(1), "Point(x=1)"),
    ],
    ids=[str(number) for number in range(16)],
)
def test_every_value_can_be_written(value: object, shown: object) -> None:
    """Whatever a field holds, the line is valid JSON and the entry is not lost."""
    rig = Rig()
    rig.write(value=value)

    assert shown == rig.line()["value"]
    assert ([], []) == (rig.lost, rig.failed)


def test_a_line_never_holds_raw_control_characters() -> None:
    """Escape sequences and NUL are escaped in the text of the line."""
    rig = Rig()
    rig.write("a\x1b[2Jb\nc\x00", value="\x1b]0;x\x07")

    assert rig.out.getvalue().count("\n") == 1
    assert all(ord(letter) >= 32 for letter in rig.out.getvalue()[:-1])


def test_a_cycle_ends() -> None:
    """A list that holds itself is shown to the depth limit."""
    loop: list[Any] = []
    loop.append(loop)

    assert "[list, too deep]" in str(plain(loop, Bounds(100)))


def test_a_huge_line_is_cut_with_its_size() -> None:
    """A line beyond the limit is cut to it, stays JSON, and tells how long it was."""
    rig = Rig(line_bytes_max=2_000)
    rig.write("e", **{f"field_{number}": "x" * 900 for number in range(50)})

    assert len(rig.out.getvalue()) <= 2_000
    assert rig.line()["truncated"] > 45_000


def test_an_entry_of_100_megabytes_is_quick_and_small() -> None:
    """A giant text is sliced before anything else looks at it."""
    rig = Rig()
    rig.write("x" * 100_000_000)

    assert len(rig.out.getvalue()) < 2_000
    assert "100000000 characters" in rig.line()["event"]


def test_an_exception_is_structured() -> None:
    """Type, message, frames and causes are fields; attributes follow the conventions."""
    rig = Rig()
    try:
        fail_twice()
    except ValueError as error:
        rig.write("failed", exc_info=error)
    found = rig.line()["exception"]
    attributes = rig.records[0].attributes

    assert ("ValueError", "outer") == (found["type"], found["message"])
    assert ["test_an_exception_is_structured", "fail_twice"] == [
        frame["function"] for frame in found["frames"]
    ]
    assert ["KeyError"] == [link["type"] for link in found["chain"]]
    assert ("ValueError", "outer") == (
        attributes["exception.type"],
        attributes["exception.message"],
    )
    assert "Traceback" in str(attributes["exception.stacktrace"])


def test_a_rude_exception_is_written() -> None:
    """An exception whose text raises, with a chain in a circle, becomes one line."""

    class RudeError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    first, second = RudeError(), ValueError("x")
    first.__context__, second.__context__ = second, first
    rig = Rig()
    rig.write(exc_info=first)

    assert rig.line()["exception"]["message"] == "[unprintable RudeError: RuntimeError]"


def test_an_exception_group_shows_its_members() -> None:
    """Members of a group are listed."""
    rig = Rig()
    rig.write(exc_info=ExceptionGroup("g", [ValueError("a"), OSError("b")]))

    assert ["ValueError", "OSError"] == [
        member["type"] for member in rig.line()["exception"]["exceptions"]
    ]


def test_logging_while_logging_is_dropped() -> None:
    """A value that logs when it is shown cannot start a loop; the inner entry is counted."""
    rig = Rig()

    class Chatty:
        def __str__(self) -> str:
            rig.write("inner")
            return "chatty"

    rig.write("outer", value=Chatty())

    assert ("outer", "chatty") == (rig.line()["event"], rig.line()["value"])
    assert [1] == rig.failed


def test_own_threads_are_not_exported() -> None:
    """What watchkeeper's exporter logs is written but never exported, or it could feed itself."""
    rig = Rig()
    thread = threading.Thread(target=rig.write, name="watchkeeper-export")
    thread.start()
    thread.join()

    assert (1, 0) == (len(rig.lines()), len(rig.records))


def test_a_closed_stream_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines for a closed stream are counted and still exported; one sentence goes to stderr."""
    rig = Rig()
    rig.out.close()
    rig.write()
    rig.write()

    assert ([1, 1], 2) == (rig.lost, len(rig.records))
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_a_failing_export_does_not_raise() -> None:
    """An error behind the pipeline is counted; the line is out already."""

    def broken(record: object) -> None:
        raise OSError(record)

    rig = Rig(emit=broken)
    rig.write()

    assert (1, [1]) == (len(rig.lines()), rig.failed)


def test_the_console_shows_one_readable_line() -> None:
    """People see time, level, event, logger and fields."""
    rig = Rig(console=True)
    rig.write("order.paid", order_id=7, note="two words")

    assert rig.out.getvalue() == (
        "00:00:00.000 info     order.paid [test]  order_id=7 note='two words'\n"
    )


def test_the_console_neutralises_terminal_escapes() -> None:
    """A value cannot recolour the terminal or pretend to be another line, even in a traceback."""
    rig = Rig(console=True)
    try:
        int("\x1b[2J")
    except ValueError as error:
        rig.write("a\x1b[31m\nb", exc_info=error, **{"k\x1b": "v\x9bm"})
    text = rig.out.getvalue()

    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "a\\x1b[31m\\x0ab" in text
    assert "Traceback" in text


def test_the_console_is_coloured_on_request() -> None:
    """Colours are ANSI sequences of ours."""
    rig = Rig(console=True, color=True)
    rig.write("x")

    assert "\x1b[32minfo" in rig.out.getvalue()


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    """Lines of several threads do not run into each other."""
    with (tmp_path / "log").open("w") as stream:
        rig = Rig(stream=stream)

        def write() -> None:
            for _ in range(200):
                rig.write("x" * 500)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = (tmp_path / "log").read_text().splitlines()

    assert len(lines) == 800
    assert {len(line) for line in lines} == {len(lines[0])}


def test_an_entry_has_a_bounded_number_of_fields() -> None:
    """The first fields stay, those of the context too; one more tells how many are left out."""
    rig = Rig(fields_max=3)
    before = cuts().get("field_count", 0)
    rig.write("enough", a=1, b=2, c=3)
    rig.write("many", **{f"f{number}": number for number in range(10)})
    with context.bind(region="eu"):
        rig.write("bound", a=1, b=2, c=3)

    enough, many, bound = rig.lines()
    fields = [
        {key: value for key, value in line.items() if key not in FIXED}
        for line in (enough, many, bound)
    ]
    assert [
        {"a": 1, "b": 2, "c": 3},
        {"f0": 0, "f1": 1, "f2": 2, "…": "[7 more]"},
        {"region": "eu", "a": 1, "b": 2, "…": "[1 more]"},
    ] == fields
    assert fields[1] == rig.records[1].attributes
    assert 2 == cuts()["field_count"] - before


FIXED = frozenset({"time", "level", "logger", "event", "service"})
