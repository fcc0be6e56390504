"""Spans as lines of JSON on a stream, for a look while developing."""

from __future__ import annotations

import sys
from typing import TextIO

import orjson

from watchkeeper.instrument.recorder.clean import safe_text
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.redaction import Redactor
from watchkeeper.vocabulary.limits import limit

__all__ = ["ConsoleSpans"]

_CHARS_MAX = limit("attribute_value_chars_max")


class ConsoleSpans:
    """An end hook that writes each sampled span as one line.

    Args:
        stream: Where the lines go; None is the standard output at the time of writing.
        redactor: Masks secrets; by default as the default settings say.
    """

    def __init__(self, stream: TextIO | None, redactor: Redactor | None = None) -> None:
        self._stream = stream
        self._redactor = redactor or Redactor()

    def __call__(self, span: RecordedSpan) -> None:
        """Write the span if it is sampled."""
        if not span.sampled:
            return
        stream = self._stream or sys.stdout
        shown: dict[str, object] = {
            "span": span.name,
            "kind": span.kind.name.lower(),
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
            "parent_id": f"{span.parent_id:016x}" if span.parent_id else None,
            "start_ns": span.start_ns,
            "duration_ms": (span.end_ns - span.start_ns) / 1e6,
            "status": span.status_code.name.lower(),
            "description": span.status_description,
            "attributes": span.attributes,
            "events": [{"name": event.name, **event.attributes} for event in span.events],
            "scope": span.scope_name,
        }
        shown = {name: value for name, value in shown.items() if value not in (None, {}, [])}
        shown = self._redactor.attributes(shown, _CHARS_MAX)
        line = orjson.dumps(shown, default=safe_text, option=orjson.OPT_NON_STR_KEYS)
        stream.write(line.decode() + "\n")
