"""OpenTelemetry's logs API on top of the log pipeline: what libraries emit comes out as a log.

Instrumentations of LLM clients write their events this way. Such a record becomes a line and an
OTLP record like any other: redacted, bounded, with the ids of its own context.
"""

from __future__ import annotations

import logging

from opentelemetry import _logs
from opentelemetry._logs import Logger, LoggerProvider, LogRecord, SeverityNumber, _internal
from opentelemetry.context import Context, attach
from opentelemetry.util._once import Once
from opentelemetry.util.types import AnyValue, Attributes

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.logs.logger import LEVELS, active
from watchkeeper.instrument.logs.pipeline import Level
from watchkeeper.instrument.recorder import deactivate

__all__ = ["ApiLoggerProvider"]

_BOUNDS = ((21, "critical"), (17, "error"), (13, "warning"), (9, "info"), (1, "debug"))


class ApiLogger(Logger):
    """Hands records to the pipeline that is active at that moment; never raises."""

    def emit(  # noqa: PLR0913 - the API's signature
        self,
        record: LogRecord | None = None,
        *,
        timestamp: int | None = None,
        observed_timestamp: int | None = None,
        context: Context | None = None,
        severity_number: SeverityNumber | None = None,
        severity_text: str | None = None,  # noqa: ARG002 - the level's own name is written
        body: AnyValue = None,
        attributes: Attributes = None,
        event_name: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Write one record if its level is logged for this logger's name."""
        try:
            if record is not None:
                context = record.context
                severity_number = record.severity_number
                timestamp, observed_timestamp = record.timestamp, record.observed_timestamp
                body, attributes = record.body, record.attributes
                event_name, exception = record.event_name, record.exception
            level = _level(severity_number)
            if not logging.getLogger(self._name).isEnabledFor(level.number):
                return
            fields: dict[str, object] = dict(attributes or {})
            if isinstance(body, str) or body is None:
                event = body or event_name or ""
            else:
                event = event_name or ""
                fields["body"] = body
            token = None if context is None else attach(context)
            try:
                active().write(
                    level,
                    self._name,
                    event,
                    fields,
                    exception,
                    timestamp or observed_timestamp or 0,
                    event_name or "",
                )
            finally:
                if token is not None:
                    deactivate(token)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure("logs.api", error)

    def enabled(
        self,
        *,
        context: Context | None = None,  # noqa: ARG002 - the API's signature
        severity_number: SeverityNumber | None = None,
        event_name: str | None = None,  # noqa: ARG002 - the API's signature
    ) -> bool:
        """Return whether a record of this severity is logged for this logger's name."""
        return logging.getLogger(self._name).isEnabledFor(_level(severity_number).number)


class ApiLoggerProvider(LoggerProvider):
    """Gives out loggers; `offer` makes it the global provider."""

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Logger:
        """Return a logger that writes under *name*."""
        return ApiLogger(name, version, schema_url, attributes)

    def offer(self) -> None:
        """Become the global provider, unless the application has set one, which then stays."""
        if _internal._LOGGER_PROVIDER is None:  # noqa: SLF001 - asking the API would make one
            _logs.set_logger_provider(self)

    def withdraw(self) -> None:
        """Unset the global provider if this is it, so that a later one can take its place."""
        if _internal._LOGGER_PROVIDER is self:  # noqa: SLF001 - the API can set a provider only once
            _internal._LOGGER_PROVIDER = None  # noqa: SLF001 - as above
            _internal._LOGGER_PROVIDER_SET_ONCE = Once()  # noqa: SLF001 - as above


def _level(severity: SeverityNumber | None) -> Level:
    number = 9 if severity is None else severity.value
    for lowest, name in _BOUNDS:
        if number >= lowest:
            return LEVELS[name]
    return LEVELS["info"]
