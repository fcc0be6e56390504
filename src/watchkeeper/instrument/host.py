"""What integrations and domain functions need of the running instrumentation.

The composition root (`watchkeeper.configure`) makes one object that fits `Host` and attaches it here.
Before that, and after `detach`, `current` returns None and everything in `domain` does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from watchkeeper.clock import Clock
from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.instrument.pages import Pages
from watchkeeper.instrument.recorder.span import RecordedSpan, Scope, Template
from watchkeeper.instrument.settings import Settings
from watchkeeper.instrument.users import ActiveUsers

__all__ = ["Host", "Starter", "attach", "current", "detach"]


class Starter(Protocol):
    """Starts spans; the recorder."""

    @property
    def tracer_provider(self) -> TracerProvider:
        """The same through the OpenTelemetry API, for libraries that trace themselves."""
        ...

    def start(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, AttributeValue] | None = None,
        parent_context: Context | None = None,
        start_ns: int | None = None,
        scope: Scope | None = None,
        template: Template | None = None,
    ) -> RecordedSpan:
        """Start a span without making it current; the dict becomes the span's own."""
        ...


class Host(Protocol):
    """The running instrumentation. Every method is safe to call from any thread and never raises."""

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        ...

    @property
    def metrics(self) -> MetricSet:
        """The metrics of this process."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        ...

    @property
    def pages(self) -> Pages:
        """Pages that are answered inside applications, by path."""
        ...

    @property
    def users(self) -> ActiveUsers:
        """Who counts the users of a day."""
        ...

    @property
    def recorder(self) -> Starter:
        """Where our spans start."""
        ...

    def event(
        self,
        name: str,
        level: str,
        attributes: Mapping[str, object],
        texts: tuple[object, ...] | None = None,
    ) -> None:
        """Write one named log event of the vocabulary.

        Args:
            name: Name of the event, ``http.request`` for example.
            level: ``info``, ``warning`` or ``error``.
            attributes: Its attributes; None values are left out.
            texts: Those of their values that are texts or None, where the caller vouches that all
                others are numbers without a secret.
        """
        ...

    def logging_was_configured(self) -> None:
        """Take over the standard library's logging again: somebody has configured it anew."""
        ...

    def start_loop_monitor(self) -> None:
        """Watch the lag of the running event loop, if nobody does yet."""
        ...


class _Holder:
    __slots__ = ("host",)

    def __init__(self) -> None:
        self.host: Host | None = None


_HOLDER = _Holder()


def attach(host: Host) -> None:
    """Let every domain function record through *host* from now on."""
    _HOLDER.host = host


def detach() -> None:
    """Make every domain function a no-op again."""
    _HOLDER.host = None


def current() -> Host | None:
    """Return the attached host, or None."""
    return _HOLDER.host
