"""Spans of database statements, for the hooks of drivers: prepared once per statement, then copied."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import SpanKind

from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.sql import describe
from watchkeeper.instrument.recorder.span import RecordedSpan, Template
from watchkeeper.vocabulary.limits import limit

__all__ = ["Place", "Queries", "attributes_of", "failed"]

_STATEMENTS_MAX = limit("sql_statements_max")

Place = tuple[str, str, int]
"""Database, host and port; "" and 0 are not known."""


class Queries:
    """Starts the spans of one driver.

    Args:
        host: The running instrumentation.
        hook: Name under which our own errors are counted.
        system: ``db.system.name``.
    """

    def __init__(self, host: Host, hook: str, system: str) -> None:
        self._start = host.recorder.start
        self._hook = hook
        self._system = system
        self._known: dict[tuple[Place, str], tuple[str, Template]] = {}

    def begin(self, place: Place, statement: str, batch: int | None = None) -> RecordedSpan | None:
        """Start the span of *statement*, or return None if that fails.

        Args:
            place: Where it goes.
            statement: Its text.
            batch: Number of parameter sets, if it runs with several.
        """
        try:
            key = (place, statement)
            found = self._known.get(key)
            if found is None:
                if len(self._known) >= _STATEMENTS_MAX:
                    self._known.clear()
                found = self._known[key] = attributes_of(place, statement, self._system)
            name, template = found
            attributes = template.attributes.copy()
            if batch is not None and batch > 1:
                attributes["db.operation.batch.size"] = batch
            return self._start(name, SpanKind.CLIENT, attributes, template=template)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(self._hook, error)
            return None

    def failed(self, span: RecordedSpan, error: BaseException) -> None:
        """End *span* as failed by *error*."""
        failed(span, error, self._hook)


def attributes_of(place: Place, statement: str, system: str) -> tuple[str, Template]:
    """Return the name and the attributes of a statement's span."""
    said = describe(statement, system)
    attributes: dict[str, Any] = {
        "db.system.name": system,
        "db.namespace": place[0],
        "db.operation.name": said.operation,
        "db.collection.name": said.collection,
        "db.query.summary": said.summary,
        "db.query.text": said.text,
        "server.address": place[1],
        "server.port": place[2],
    }
    return said.summary, Template({name: value for name, value in attributes.items() if value})


def failed(span: RecordedSpan, error: BaseException, hook: str) -> None:
    """End *span* as failed by *error*; never raises."""
    try:
        span.attributes["error.type"] = error_type(error)
        span.fail(error, record=isinstance(error, Exception))
        span.end()
    except Exception as failure:  # noqa: BLE001 - never into the application
        record_failure(hook, failure)
