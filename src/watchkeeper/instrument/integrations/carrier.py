"""What travels with a job: trace context and baggage, when it was enqueued, and for whom it is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from watchkeeper.instrument import context
from watchkeeper.instrument.domain.work import Job
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import propagation
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["ENQUEUED_AT", "opened", "pack", "produce"]

ENQUEUED_AT = "watchkeeper-enqueued-at"
"""Seconds since the epoch."""
_REQUEST = "watchkeeper-request-id"
_USER = "watchkeeper-user-id"
_TENANT = "watchkeeper-tenant-id"


def produce(host: Host, name: str, *, queue: str | None, id: str | None) -> RecordedSpan:  # noqa: A002 - the word for it
    """Start the span of an enqueueing; it is not made current."""
    attributes: dict[str, Any] = {"job.name": name}
    if queue is not None:
        attributes["job.queue"] = queue
    if id is not None:
        attributes["job.id"] = id
    return host.recorder.start(f"enqueue {name}", SpanKind.PRODUCER, attributes)


def pack(host: Host, span: RecordedSpan) -> dict[str, str]:
    """Return what makes *span* the parent of the job's attempts; every value is text."""
    carried: dict[str, str] = {ENQUEUED_AT: f"{host.clock.now_ns() / 1e9:.6f}"}
    propagation.inject(span, carried.__setitem__)
    for_whom = {
        _REQUEST: context.request_id(),
        _USER: context.user_id(),
        _TENANT: context.tenant_id(),
    }
    carried.update({key: value for key, value in for_whom.items() if value})
    return carried


def opened(
    name: str,
    carried: Mapping[str, Any],
    *,
    queue: str,
    id: str | None,  # noqa: A002 - as above
    attempt: int = 1,
    due: datetime | float | None = None,
    apart: bool = False,
) -> Job:
    """Begin an attempt at a job and return it; end it with its ``__exit__``.

    Args:
        name: Name of the job.
        carried: What `pack` returned on the other side, or a mapping that has it among others.
        queue: Name of the queue.
        id: Id of the job.
        attempt: Number of the attempt, from 1.
        due: When it was to run at the earliest: until then it did not wait.
        apart: Begin a new trace if no parent travelled, whatever is current here.
    """
    parent = propagation.extract(carried.get)
    if parent is None and apart:
        parent = Context()
    job = Job(
        name,
        queue=queue,
        id=id,
        attempt=attempt,
        enqueued_at=_since(carried.get(ENQUEUED_AT), due),
        parent=parent,
        request_id=carried.get(_REQUEST) or None,
        user_id=carried.get(_USER) or None,
        tenant_id=carried.get(_TENANT) or None,
    )
    job.__enter__()
    return job


def _since(at: Any, due: datetime | float | None) -> float | None:
    try:
        enqueued = float(at)
    except (TypeError, ValueError):
        return None
    if due is None:
        return enqueued
    if isinstance(due, datetime):
        due = (due if due.tzinfo else due.replace(tzinfo=UTC)).timestamp()
    return max(enqueued, float(due))
