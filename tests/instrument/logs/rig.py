"""A log pipeline that writes into memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, TextIO

from watchkeeper.instrument.logs import LEVELS, LogPipeline, Options, Sink
from watchkeeper.instrument.logs.limiter import Gate
from watchkeeper.instrument.recorder import LogFields, LogRecord
from watchkeeper.testing.clock import FixedClock

INFO = LEVELS["info"]


class Rig:
    """A pipeline, what it wrote and what it emitted.

    Attributes:
        out: The stream.
        records: OTLP records.
        lost: Lines that could not be written.
        failed: Entries that could not be made.
    """

    def __init__(
        self,
        *,
        console: bool = False,
        color: bool = False,
        line_bytes_max: int = 10_000,
        value_chars_max: int = 1_000,
        fields_max: int = 256,
        stream: TextIO | None = None,
        emit: Callable[[LogFields], None] | None = None,
        gate: Gate | None = None,
        file: Callable[[bytes, int], None] | None = None,
    ) -> None:
        self.out = io.StringIO()
        self.records: list[LogRecord] = []
        self.lost: list[int] = []
        self.failed: list[int] = []
        self.clock = FixedClock()
        options = Options(
            static={"service": "shop"},
            console=console,
            color=color,
            line_bytes_max=line_bytes_max,
            value_chars_max=value_chars_max,
            fields_max=fields_max,
        )
        self.pipeline = LogPipeline(
            options,
            Sink(stream or self.out, lambda: self.lost.append(1)),
            now_ns=self.clock.now_ns,
            emit=emit or (lambda record: self.records.append(LogRecord(*record))),
            failed=lambda: self.failed.append(1),
            gate=gate,
            file=file,
        )

    def write(self, event: object = "e", exc_info: object = None, **fields: object) -> None:
        """Write one entry at level info."""
        self.pipeline.write(INFO, "test", event, fields, exc_info)

    def lines(self) -> list[dict[str, Any]]:
        """Return what was written, parsed."""
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def line(self) -> dict[str, Any]:
        """Return the only line."""
        (line,) = self.lines()
        return line
