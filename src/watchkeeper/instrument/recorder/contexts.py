"""The current span, read and set without the OpenTelemetry API's general path.

The API keeps the current span in a dict in one context variable. Going through its functions takes
eight calls for each look-up; reading that variable takes two. What is read and written is the same
dict under the same key, so code that uses the API sees our spans and we see its. Where the API keeps
its context elsewhere (``OTEL_PYTHON_CONTEXT``, a later version), its own functions are used.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Protocol

from opentelemetry import context as api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, get_current_span, propagation
from opentelemetry.trace import set_span_in_context as api_set_span_in_context

from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["attach_span", "current_span"]

CurrentSpan = Callable[[Context | None], Span]


class AttachSpan(Protocol):
    """Makes a span current."""

    def __call__(self, span: Span, context: Context | None = None) -> Token[Context]:
        """Make *span* current, with the rest of *context*, by default that of the current one."""
        ...


def _slow_attach(span: Span, context: Context | None = None) -> Token[Context]:
    return api.attach(api_set_span_in_context(span, context))


def _fast(variable: ContextVar[Context], key: str) -> tuple[CurrentSpan, AttachSpan]:
    def current(context: Context | None = None) -> Span:
        span: Any = (variable.get() if context is None else context).get(key, INVALID_SPAN)
        kind = type(span)
        if kind is RecordedSpan or kind is NonRecordingSpan:
            known: Span = span
            return known
        return get_current_span(context)

    def attach(span: Span, context: Context | None = None) -> Token[Context]:
        values = variable.get() if context is None else context
        return variable.set(Context({**values, key: span} if values else {key: span}))

    return current, attach


def _chosen() -> tuple[CurrentSpan, AttachSpan]:
    runtime = getattr(api, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    key = getattr(propagation, "_SPAN_KEY", None)
    if not isinstance(variable, ContextVar) or not isinstance(key, str):
        return get_current_span, _slow_attach
    current, attach = _fast(variable, key)
    probe = NonRecordingSpan(INVALID_SPAN.get_span_context())
    token = attach(probe, None)
    agrees = get_current_span() is probe
    variable.reset(token)
    return (current, attach) if agrees else (get_current_span, _slow_attach)


current_span, attach_span = _chosen()
