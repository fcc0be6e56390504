"""The SDK's names for what a span holds, which libraries read although the API lacks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

__all__ = ["SdkNames"]


class _Fields(Protocol):
    @property
    def attributes(self) -> Mapping[str, AttributeValue]: ...

    @property
    def start_ns(self) -> int: ...

    @property
    def end_ns(self) -> int: ...

    @property
    def status_code(self) -> StatusCode: ...

    @property
    def status_description(self) -> str | None: ...

    @property
    def scope(self) -> object: ...


class SdkNames:
    """Read-only properties of the SDK's ``ReadableSpan`` on a recorded span.

    OpenInference reads ``_attributes`` to derive GenAI attributes, exporters and processors of
    other vendors read the rest.
    """

    __slots__ = ()

    @property
    def _attributes(self: _Fields) -> Mapping[str, AttributeValue]:
        return self.attributes

    @property
    def status(self: _Fields) -> Status:
        """Status with its description."""
        return Status(self.status_code, self.status_description)

    @property
    def start_time(self: _Fields) -> int:
        """Start, nanoseconds since the epoch."""
        return self.start_ns

    @property
    def end_time(self: _Fields) -> int | None:
        """End, nanoseconds since the epoch; None until the span ends."""
        return None if self.end_ns < 0 else self.end_ns

    @property
    def instrumentation_scope(self: _Fields) -> object:
        """The scope, with name, version, schema_url and attributes."""
        return self.scope
