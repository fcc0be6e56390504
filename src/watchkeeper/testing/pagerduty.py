"""A PagerDuty that takes events like the real Events API v2, on loopback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from watchkeeper.testing.http_fake import Answer, HttpFake, Request

__all__ = ["FakePagerDuty", "Incident"]

_BODY_BYTES_MAX = 512 * 1024
_KEY_CHARS, _DEDUP_CHARS_MAX, _SUMMARY_CHARS_MAX = 32, 255, 1_024
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")


@dataclass(slots=True)
class Incident:
    """What events of one key have become."""

    dedup_key: str
    status: Literal["triggered", "acknowledged", "resolved"]
    events: list[dict[str, Any]] = field(default_factory=list)
    """All events that it took, oldest first, the one that opened it included."""


class FakePagerDuty(HttpFake):
    """The endpoint ``/v2/enqueue`` on 127.0.0.1; a context manager.

    Answers are those documented at developer.pagerduty.com, "Events API v2": 202 for an event that
    is well-formed, 400 with reasons for one that is not, 413 beyond 512 KB. A ``trigger`` opens an
    incident, or adds to the open one of the same key. ``acknowledge`` and ``resolve`` change the
    open one; without one they are taken and dropped. After ``resolve`` a ``trigger`` opens a new
    one.

    Attributes:
        events: The events that were taken, oldest first.
        incidents: What came of them, in the order of opening: each one paged somebody once.
    """

    routing_key = "0123456789abcdef0123456789abcdef"
    """A key of the right length; any other of that length is let in too."""

    def __init__(self) -> None:
        super().__init__(body_bytes_max=_BODY_BYTES_MAX)
        self.events: list[dict[str, Any]] = []
        self.incidents: list[Incident] = []

    @property
    def url(self) -> str:
        """The URL that events are sent to."""
        return f"{self.base_url}/v2/enqueue"

    def answer_to(self, request: Request) -> Answer:
        """Take an event."""
        try:
            event = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return _invalid("Request body is not JSON")
        if not isinstance(event, dict):
            return _invalid("Request body is not an object")
        wrong = list(_problems(event))
        if wrong:
            return _invalid(*wrong)
        self.events.append(event)
        key = event.get("dedup_key") or f"generated-{len(self.events)}"
        self._change(event, key)
        done = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Answer(202, orjson.dumps(done), headers={"Content-Type": "application/json"})

    def open(self, dedup_key: str) -> Incident | None:
        """Return the incident of *dedup_key* that is not resolved, or None."""
        return next(
            (i for i in self.incidents if i.dedup_key == dedup_key and i.status != "resolved"), None
        )

    def _change(self, event: dict[str, Any], key: str) -> None:
        incident, action = self.open(key), event["event_action"]
        if incident is None:
            if action != "trigger":
                return
            incident = Incident(key, "triggered")
            self.incidents.append(incident)
        incident.events.append(event)
        if action == "acknowledge":
            incident.status = "acknowledged"
        elif action == "resolve":
            incident.status = "resolved"


def _invalid(*reasons: str) -> Answer:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": reasons}
    return Answer(400, orjson.dumps(body), headers={"Content-Type": "application/json"})


def _problems(event: dict[str, Any]) -> list[str]:
    found = []
    if len(event.get("routing_key") or "") != _KEY_CHARS:
        found.append(f"Length of 'routing_key' is incorrect (should be {_KEY_CHARS} characters)")
    action = event.get("event_action")
    if action not in _ACTIONS:
        found.append("'event_action' is missing or invalid")
    if len(event.get("dedup_key") or "") > _DEDUP_CHARS_MAX:
        found.append(f"'dedup_key' is too long (at most {_DEDUP_CHARS_MAX} characters)")
    if action in {"acknowledge", "resolve"} and not event.get("dedup_key"):
        found.append("'dedup_key' is missing or blank")
    if action == "trigger":
        found += _payload_problems(event.get("payload"))
    return found


def _payload_problems(payload: object) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not payload.get(name)
    ]
    if len(payload.get("summary") or "") > _SUMMARY_CHARS_MAX:
        found.append(f"'payload.summary' is too long (at most {_SUMMARY_CHARS_MAX} characters)")
    if payload.get("severity") and payload["severity"] not in _SEVERITIES:
        found.append("'payload.severity' is invalid (must be one of the following: "
                     f"{', '.join(repr(s) for s in _SEVERITIES)})")  # fmt: skip
    return found
