"""The path of a log entry: fields in; one JSON or console line and one OTLP record out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from opentelemetry.trace import INVALID_SPAN, Span

from watchkeeper.instrument.context import BOUND, Bound
from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.logs import console, exceptions
from watchkeeper.instrument.logs.limiter import Gate
from watchkeeper.instrument.logs.sink import Sink
from watchkeeper.instrument.logs.values import Bounds, cut, plain, shown
from watchkeeper.instrument.recorder import LogFields, RecordedSpan
from watchkeeper.instrument.recorder.contexts import current_span
from watchkeeper.instrument.redaction import HARMLESS_CHARS, Redactor
from watchkeeper.vocabulary.limits import limit

__all__ = ["Level", "LogPipeline", "Options"]

_OWN_THREADS = "watchkeeper"
"""Names of watchkeeper's own threads begin with this; what they log is never exported, so that an
export which fails and says so cannot feed itself."""
_RESERVED = frozenset(
    {
        "time", "level", "logger", "event", "service", "version", "environment", "request_id",
        "trace_id", "span_id", "user_id", "tenant_id", "exception", "truncated", "suppressed",
        "sample_rate",
    }
)  # fmt: skip
"""Keys of a line that a field cannot take; such a field gets ``_`` appended to its name."""
_FIXED = _RESERVED - {"exception"}
_PLAIN = frozenset({int, float, bool, type(None)})
_OWN = frozenset(
    {"time", "level", "logger", "service", "version", "environment", "trace_id", "span_id"}
)
"""Keys whose values are not looked at for secrets: they are ours, or the settings'."""
_LARGE = 1 << 40
_NOTHING: Mapping[str, object] = {}
_NAMES_MAX = 4_096
"""Names of fields that are remembered as ordinary ones; the memory starts anew past it."""
_NAME_CHARS = 200
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Level:
    """A level: its name, and its numbers in the standard library and in OTLP."""

    name: str
    text: str
    number: int
    severity: int


@dataclass(frozen=True, slots=True)
class Options:
    """What a pipeline writes and how much of it."""

    static: Mapping[str, str]
    """Fields of every line: service, version, environment."""
    console: bool
    """Lines for people instead of JSON."""
    color: bool
    line_bytes_max: int
    value_chars_max: int
    fields_max: int = limit("log_fields_max")
    stdout: bool = True
    """Whether the sink gets the lines; False where a file alone does."""


class _Thread(threading.local):
    """What is known of the thread that asks."""

    writing = False
    """It is in the middle of writing an entry."""
    stranger = False
    """It is known to be none of watchkeeper's."""


class LogPipeline:
    """Turns log entries into lines and records.

    Args:
        options: Format and limits.
        sink: Where lines go.
        now_ns: Nanoseconds since the epoch.
        emit: Takes the OTLP record, or None to write lines only.
        failed: Called when an entry was lost to an error of ours or of a foreign value.
        gate: Holds floods back and samples; None lets everything through.
        file: Takes every line as JSON and its time, beside the sink.
        redactor: Masks secrets; by default as the default settings say.
    """

    def __init__(
        self,
        options: Options,
        sink: Sink,
        *,
        now_ns: Callable[[], int],
        emit: Callable[[LogFields], None] | None,
        failed: Callable[[], None],
        gate: Gate | None = None,
        file: Callable[[bytes, int], None] | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._options = options
        self._console = options.console
        self._stdout = options.stdout
        self._line_bytes_max = options.line_bytes_max
        self._static = dict(options.static)
        self._sink = sink
        self._now_ns = now_ns
        self._emit = emit
        self._failed = failed
        self._chars_max = options.value_chars_max
        self._fields_max = options.fields_max
        self._redactor = redactor or Redactor()
        self._bounds = Bounds(options.value_chars_max, redactor=self._redactor)
        self._harmless: set[str] | frozenset[str] = self._redactor.harmless_texts
        if self._chars_max < HARMLESS_CHARS:
            # Some of those would have to be cut.
            self._harmless = frozenset()
        self._ordinary: set[str] = set()
        self._second = (-1, "")
        self._ids = (0, 0, _shown_ids(0, 0))
        self._thread = _Thread()
        self._gate = gate
        self._file = file
        self._last = b""
        # Where a line goes on after its time, which may differ in lines that repeat each other.
        self._stamp_size = (20 if options.color else 12) if options.console else 38

    def write(  # noqa: PLR0913, PLR0917 - the path of every line; keywords would cost
        self,
        level: Level,
        logger: str,
        event: object,
        fields: Mapping[str, object],
        exc_info: object = None,
        time_ns: int = 0,
        event_name: str = "",
        template: str = "",
        texts: tuple[object, ...] | None = None,
    ) -> None:
        """Write one entry; never raises.

        An entry logged while this thread is writing another one (by a ``__str__`` that logs, for
        example) is dropped, since it could go on for ever.

        Args:
            level: The level.
            logger: Name of the logger, or "".
            event: What happened.
            fields: Further values, cleaned and redacted here.
            exc_info: As in a call of the standard library's loggers.
            time_ns: When it happened, nanoseconds since the epoch; 0 means now.
            event_name: Name of the event if the vocabulary declares it; its fields that are None are
                left out.
            template: The event before values were filled in, by which floods are recognised.
            texts: The values that are texts or None, where the caller vouches that the others are
                numbers without a secret.
        """
        thread = self._thread
        if thread.writing:
            self._failed()
            return
        thread.writing = True
        try:
            text = event if type(event) is str else shown(event, self._chars_max)
            if len(text) > self._chars_max:
                text = cut(text, self._chars_max, self._redactor)
            self._write(
                level,
                logger,
                text,
                fields,
                exc_info,
                time_ns or self._now_ns(),
                event_name,
                template,
                texts,
            )
        except Exception:  # noqa: BLE001 - logging must never raise into the application
            self._failed()
        finally:
            thread.writing = False

    def _write(  # noqa: C901, PLR0912, PLR0913, PLR0917 - the path of every line; each call would cost
        self,
        level: Level,
        logger: str,
        text: str,
        fields: Mapping[str, object],
        exc_info: object,
        time_ns: int,
        event_name: str,
        template: str,
        texts: tuple[object, ...] | None,
    ) -> None:
        span, bound = current_span(None), BOUND.get()
        if type(span) is RecordedSpan:
            trace_id, span_id, flags = span.trace_id, span.span_id, span.flags
        else:
            trace_id, span_id, flags, bound = _ids_of(span, exc_info, bound)
        name = template or text
        gate, held = self._gate, 0
        if gate is not None and (not event_name or gate.rates):
            held = gate.admit(logger, level.number, name, time_ns, trace_id, bool(event_name))
            if held < 0:
                return
        second, stamp = self._second
        if time_ns // _SECOND_NS != second:
            stamp = self._new_second(time_ns // _SECOND_NS)
        ids = self._ids
        if ids[1] != span_id or ids[0] != trace_id:
            ids = self._ids = (trace_id, span_id, _shown_ids(trace_id, span_id))
        if bound.fields:
            fields = {**bound.fields, **fields}
        if len(fields) > self._fields_max:
            fields = _first_of(fields, self._fields_max)
        plain = text in self._harmless and not bound.texts and self._are_plain(fields, texts)
        entry: dict[str, object] = {
            "time": stamp % (time_ns // 1000 % 1_000_000),
            "level": level.name,
            "logger": logger,
            "event": text,
            **self._static,
            **bound.entry,
            **ids[2],
            **(fields if plain else _NOTHING),
        }
        attributes: dict[str, Any] = {**bound.attributes, **(fields if plain else _NOTHING)}
        if not plain:
            found = [text, *bound.texts]
            text = self._add_checked(entry, attributes, fields, found, nulls=not event_name)
        trace = self._add_exception(entry, attributes, exc_info) if exc_info else ""
        if gate is not None and level.number < 30 and name in gate.rates:
            entry["sample_rate"] = attributes["log.sample_rate"] = gate.rates[name]
        line = self._line(entry, trace) if self._console else self._json(entry)
        if gate is not None and not event_name:
            if self._is_repeated(gate, (logger, level.number, name), line, time_ns, held):
                return
            if held:
                line = self._with_held(entry, attributes, trace, held)
        if self._stdout:
            self._sink.write(line)
        if self._file is not None:
            self._file(self._json(entry) if self._console else line, time_ns)
        emit = self._emit
        if emit is not None and (event_name or self._thread.stranger or self._is_strange()):
            emit(
                (
                    time_ns, level.severity, level.text, text, attributes, trace_id, span_id, flags,
                    event_name, logger,
                )
            )  # fmt: skip

    def _with_held(
        self, entry: dict[str, object], attributes: dict[str, Any], trace: str, held: int
    ) -> bytes:
        """Return the line once more, with the count of those that were held back before it."""
        entry["suppressed"] = attributes["log.suppressed.lines"] = held
        return self._line(entry, trace)

    def _is_strange(self) -> bool:
        """Tell whether this thread is none of watchkeeper's, and remember it if so."""
        stranger = not threading.current_thread().name.startswith(_OWN_THREADS)
        self._thread.stranger = stranger
        return stranger

    def _is_repeated(
        self, gate: Gate, key: tuple[str, int, str], line: bytes, time_ns: int, held: int
    ) -> bool:
        """Return whether *line* equals the one before it but for its time, and is to be folded."""
        last, self._last = self._last, line
        start = self._stamp_size
        if len(line) == len(last) and line[start:] == last[start:]:
            return gate.repeats(key, time_ns, held)
        gate.run = 0
        return False

    def _new_second(self, second: int) -> str:
        """Return the form of the times in *second*, seconds since the epoch: takes microseconds."""
        form = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%%06dZ")
        self._second = (second, form)
        return form

    def _are_plain(self, fields: Mapping[str, object], texts: tuple[object, ...] | None) -> bool:
        """Tell whether fields can be taken as they are: most lines have seen all their texts before."""
        if not self._ordinary.issuperset(fields):
            return False
        harmless = self._harmless
        if texts is not None:
            return harmless.issuperset(texts)
        for value in fields.values():
            kind = type(value)
            if not (
                value in harmless
                if kind is str
                else value <= _LARGE  # type: ignore[operator]  # kind is int
                if kind is int
                else kind is float or kind is bool
            ):
                return False
        return True

    def _add_checked(
        self,
        entry: dict[str, object],
        attributes: dict[str, Any],
        fields: Mapping[str, object],
        texts: list[str],
        *,
        nulls: bool,
    ) -> str:
        """Add *fields*, cleaned, mask every secret of the entry, and return its event."""
        if not nulls:
            fields = {key: value for key, value in fields.items() if value is not None}
        self._add_fields(entry, attributes, fields, texts)
        harmless = self._redactor.harmless
        for text in texts:
            if not harmless(text):
                return self._redact(entry, attributes)
        return texts[0]

    def _add_fields(
        self,
        entry: dict[str, object],
        attributes: dict[str, Any],
        fields: Mapping[str, object],
        texts: list[str],
    ) -> None:
        chars_max = self._chars_max
        for given, value in fields.items():
            name = given if given not in _RESERVED else f"{given}_"
            kind = type(value)
            is_secret = self._is_secret(name)
            if kind is bool or value is None:
                pass
            elif is_secret:
                value = self._redactor.masked(value)  # noqa: PLW2901 - the cleaned value takes the place of the given one
            elif kind is str:
                if len(value) > chars_max:  # type: ignore[arg-type]  # kind is str
                    value = cut(value, chars_max, self._redactor)  # type: ignore[arg-type]  # noqa: PLW2901 - as above
                texts.append(value)  # type: ignore[arg-type]  # kind is str
            elif kind is int:
                if value > _LARGE:  # type: ignore[operator]  # kind is int
                    value = self._redactor.number(value)  # type: ignore[arg-type]  # noqa: PLW2901 - as above
            elif kind not in _PLAIN:
                value = plain(value, self._bounds)  # noqa: PLW2901 - as above
            entry[name] = value
            if value is not None:
                attributes[name] = value

    def _is_secret(self, name: str) -> bool:
        """Tell whether the value under *name* must be masked, and remember an ordinary name."""
        if self._redactor.is_secret(name):
            return True
        if name[:-1] not in _RESERVED and len(name) <= _NAME_CHARS:
            if len(self._ordinary) >= _NAMES_MAX:
                self._ordinary.clear()
            self._ordinary.add(name)
        return False

    def _redact(self, entry: dict[str, object], attributes: dict[str, Any]) -> str:
        """Mask the secrets in the texts of an entry; return its event."""
        known: dict[object, str] = {}
        for values in (entry, attributes):
            for name, value in values.items():
                if type(value) is str and (values is attributes or name not in _OWN):
                    shown_value = known.get(value)
                    if shown_value is None:
                        shown_value = known[value] = self._redactor.text(value)
                    values[name] = shown_value
        return str(entry["event"])

    def _add_exception(
        self, entry: dict[str, object], attributes: dict[str, Any], exc_info: object
    ) -> str:
        error = exceptions.normalise(exc_info)
        if error is None:
            return ""
        entry["exception"] = found = exceptions.structured(error, self._redactor)
        trace = exceptions.stacktrace(error, self._chars_max, self._redactor)
        attributes["exception.type"] = found["type"]
        attributes["exception.message"] = found["message"]
        attributes["exception.stacktrace"] = trace
        return trace

    def _line(self, entry: dict[str, object], trace: str) -> bytes:
        if self._console:
            options = self._options
            line = console.render(entry, color=options.color, traceback=trace)
            if len(line) > options.line_bytes_max:
                count_cut("line_length")
                line = cut(line, options.line_bytes_max)
            return line.encode("utf-8", "replace")
        return self._json(entry)

    def _json(self, entry: dict[str, object]) -> bytes:
        try:
            line_bytes = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        except (TypeError, ValueError):
            # A lone surrogate or an integer beyond 64 bits; rare, so looked for only now.
            line_bytes = _dump(entry, self._bounds)
        if len(line_bytes) > self._line_bytes_max:
            count_cut("line_length")
            line_bytes = _shortened(entry, len(line_bytes), self._line_bytes_max)
        return line_bytes


def _first_of(fields: Mapping[str, object], fields_max: int) -> dict[str, object]:
    """Return the first fields, and one more that tells how many are left out."""
    count_cut("field_count")
    kept = dict(islice(fields.items(), fields_max))
    kept["…"] = f"[{len(fields) - fields_max} more]"
    return kept


def _shown_ids(trace_id: int, span_id: int) -> dict[str, str]:
    """Return the ids as a line shows them: none outside of a trace."""
    return {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}"} if trace_id else {}


def _ids_of(span: Span, exc_info: object, bound: Bound) -> tuple[int, int, int, Bound]:
    """Return the ids where no span of ours is current, and what is bound.

    Those of another's span; else those of the request that a logged exception comes from; else
    zeros.
    """
    if span is not INVALID_SPAN:
        found = span.get_span_context()
        if found.trace_id:
            return found.trace_id, found.span_id, int(found.trace_flags), bound
    return exceptions.origin(exc_info, bound) if exc_info else (0, 0, 0, bound)


def _dump(entry: Mapping[str, object], bounds: Bounds) -> bytes:
    return orjson.dumps(plain(entry, bounds), option=orjson.OPT_APPEND_NEWLINE)


def _shortened(entry: Mapping[str, object], size: int, bytes_max: int) -> bytes:
    """Return the entry with its values cut until it fits; ``truncated`` holds its first size."""
    fixed = {name: value for name, value in entry.items() if name in _FIXED}
    rest = {name: value for name, value in entry.items() if name not in _FIXED}
    # JSON needs up to six bytes for a character.
    for chars, items in ((bytes_max // 64, 50), (bytes_max // 1024, 10), (16, 3)):
        bounds = Bounds(max(chars, 16), items, 3)
        fields = plain(rest, bounds)
        cut_fields = fields if isinstance(fields, dict) else {}
        line = _dump({**fixed, "truncated": size, **cut_fields}, Bounds(max(chars, 64)))
        if len(line) <= bytes_max:
            return line
    return _dump({**fixed, "event": "", "truncated": size}, Bounds(32))
