"""The OpenTelemetry tracer provider and tracer on top of a starter of spans."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider
from opentelemetry.util.types import Attributes, AttributeValue

from watchkeeper.instrument.recorder.clean import clean_attributes, safe_text
from watchkeeper.instrument.recorder.current import CurrentSpan
from watchkeeper.instrument.recorder.records import RecorderLimits
from watchkeeper.instrument.recorder.span import RecordedSpan, Scope

__all__ = ["RecorderTracer", "RecorderTracerProvider", "Starter"]


class Starter(Protocol):
    """What a tracer needs of the recorder."""

    @property
    def limits(self) -> RecorderLimits:
        """The limits in force."""
        ...

    def start(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, AttributeValue] | None = None,
        parent_context: Context | None = None,
        start_ns: int | None = None,
        scope: Scope | None = None,
    ) -> RecordedSpan:
        """Start a span."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Export what ended so far."""
        ...

    def shutdown(self, timeout_s: float) -> bool:
        """Export and stop."""
        ...


class RecorderTracer(Tracer):
    """Starts spans of one instrumentation scope."""

    def __init__(self, recorder: Starter, scope: Scope) -> None:
        self._recorder = recorder
        self._scope = scope

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
    ) -> Span:
        """Start a span without making it current."""
        recorder = self._recorder
        dropped = 0
        cleaned: dict[str, AttributeValue] = {}
        if attributes:
            cleaned, dropped = clean_attributes(
                attributes,
                recorder.limits.span_attributes_max,
                recorder.limits.attribute_value_chars_max,
            )
        text = name if type(name) is str else safe_text(name)
        span = recorder.start(text, kind, cleaned, context, start_time, self._scope)
        if dropped:
            span.leave_out(dropped)
        for link in links or ():
            if link is not None:
                span.add_link(link.context, link.attributes)
        if not (record_exception and set_status_on_exception):
            span.exceptions(record=record_exception, set_status=set_status_on_exception)
        return span

    def start_as_current_span(  # type: ignore[override] # noqa: PLR0913, PLR0917 - the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        end_on_exit: bool = True,  # noqa: FBT001, FBT002 - the API's signature
    ) -> CurrentSpan:
        """Return a context manager, also a decorator, around a new current span."""
        return CurrentSpan(
            functools.partial(
                self.start_span,
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            ),
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
            end_on_exit=end_on_exit,
        )


class RecorderTracerProvider(TracerProvider):
    """Gives out tracers; one object per instrumentation scope."""

    def __init__(self, recorder: Starter) -> None:
        self._recorder = recorder
        self._tracers: dict[Scope, RecorderTracer] = {}

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """Return the tracer of an instrumentation scope."""
        cleaned, _ = clean_attributes(attributes or {}, 128, 1_024)
        scope = Scope(
            instrumenting_module_name or "",
            instrumenting_library_version or "",
            schema_url or "",
            tuple(cleaned.items()),
        )
        try:
            return self._tracers.setdefault(scope, RecorderTracer(self._recorder, scope))
        except TypeError:
            # An attribute whose value is a mapping cannot be hashed: such a tracer is not shared.
            return RecorderTracer(self._recorder, scope)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what ended so far; the SDK's name, which some libraries call."""
        return self._recorder.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Export and stop; the SDK's name, which some libraries call."""
        self._recorder.shutdown(5.0)
