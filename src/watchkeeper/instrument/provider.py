"""The global OpenTelemetry tracer provider: ours, unless the application set one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.util._once import Once

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder import EndHook, RecordedSpan

__all__ = ["ForeignSpans", "offer", "withdraw"]


def offer(provider: trace.TracerProvider, hook: EndHook) -> str:
    """Make *provider* the global one, or attach to the one that the application set.

    Args:
        provider: The recorder's.
        hook: Called with every span that ends in a foreign provider.

    Returns:
        "" if *provider* is global now, else one sentence on what was done instead.
    """
    present = trace.get_tracer_provider()
    if isinstance(present, trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        return ""
    attach: Callable[[object], None] | None = getattr(present, "add_span_processor", None)
    name = f"{type(present).__module__}.{type(present).__qualname__}"
    if attach is None:
        return f"the tracer provider {name} was set before and stays; its spans are not seen"
    attach(ForeignSpans(hook))
    return (
        f"the tracer provider {name} was set before and stays: its spans go to its own exporter, "
        "watchkeeper's to the endpoint, and metrics derive from both. Give both one backend, or "
        "remove that provider, to have whole traces"
    )


def withdraw(provider: trace.TracerProvider) -> None:
    """Unset the global provider if it is *provider*, so that a later one can take its place."""
    if trace._TRACER_PROVIDER is provider:  # noqa: SLF001 - the API can set a provider only once
        trace._TRACER_PROVIDER = None  # noqa: SLF001 - as above
        trace._TRACER_PROVIDER_SET_ONCE = Once()  # noqa: SLF001 - as above


class ForeignSpans:
    """A span processor, in the SDK's sense, that hands ended spans to one of our end hooks.

    Args:
        hook: Reads names, attributes and times as it does those of our own spans.
    """

    def __init__(self, hook: EndHook) -> None:
        self._hook = hook

    def on_start(self, span: object, parent_context: object = None) -> None:
        """Do nothing."""

    def _on_ending(self, span: object) -> None:
        """Do nothing."""

    def on_end(self, span: Any) -> None:
        """Hand over the span; never raises."""
        try:
            self._hook(cast("RecordedSpan", _View(span)))
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure("provider.foreign", error)

    def shutdown(self) -> None:
        """Do nothing: nothing is held back."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Return True: nothing is held back."""
        return True


class _View:
    """An SDK span under the names that our own spans have."""

    template = None

    def __init__(self, span: Any) -> None:
        context = span.context
        self.name = span.name
        self.kind = span.kind
        self.context = context
        self.trace_id = context.trace_id
        self.span_id = context.span_id
        self.flags = int(context.trace_flags)
        self.parent = span.parent
        self.parent_id = 0 if span.parent is None else span.parent.span_id
        self.parent_remote = span.parent is not None and span.parent.is_remote
        self.start_ns = span.start_time
        self.end_ns = span.end_time
        self.attributes = span.attributes or {}
        self.events = span.events
        self.links = span.links
        self.status_code = span.status.status_code
        self.status_description = span.status.description
        scope = span.instrumentation_scope
        self.scope_name = scope.name if scope is not None else ""
