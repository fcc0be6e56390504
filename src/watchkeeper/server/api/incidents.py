"""Incidents over HTTP: list, show, act, export, who is on call, signed links, and the webhook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from watchkeeper.clock import Clock
from watchkeeper.errors import IncidentError, PayloadError, QueryParseError, StoreError
from watchkeeper.server.alerts.escalation import rows
from watchkeeper.server.alerts.escalation.incident import ByPerson, Incident, State, Verb, Via
from watchkeeper.server.alerts.escalation.ledger import RULES, unknown
from watchkeeper.server.alerts.escalation.links import Grant, LinkKeys, token_digest
from watchkeeper.server.alerts.escalation.runner import EscalationRunner
from watchkeeper.server.alerts.escalation.shown import (
    STYLE,
    alert_json,
    incident_json,
    link_page,
    markdown,
    oncall_json,
)
from watchkeeper.server.alerts.escalation.webhook import read_webhook
from watchkeeper.server.api.params import integer
from watchkeeper.server.rules.persist import Cursor
from watchkeeper.vocabulary.limits import limit

__all__ = ["routes"]

_T = TypeVar("_T")

_BASE = "/api/watchkeeper/v1"
_LISTED, _LISTED_MAX = 100, 1_000
_HOURS, _HOURS_MAX = 168, 2_400
_STATES = {state.value: (state.value,) for state in State} | {
    "open": (State.TRIGGERED.value, State.ACKNOWLEDGED.value),
    "all": tuple(state.value for state in State),
}
_VERBS = ("acknowledge", "unacknowledge", "take", "resolve", "comment")
_VIAS = ("api", "cli", "ui")
_STATUS = {"unknown": 404, "invalid": 400, "conflict": 409}
_SOURCE_CHARS_MAX = 100
_DONE = {
    "acknowledge": "Acknowledged",
    "unacknowledge": "Open again",
    "take": "Taken over",
    "resolve": "Resolved",
}


def routes(runner: EscalationRunner, keys: LinkKeys, clock: Clock) -> list[Route]:
    """Return the routes of incidents."""
    face = _Face(runner, clock)
    links = _Links(runner, keys, clock)
    return [
        Route(f"{_BASE}/incidents", face.listing, methods=["GET"]),
        Route(f"{_BASE}/incidents/{{id}}.md", face.export, methods=["GET"]),
        Route(f"{_BASE}/incidents/{{id}}", face.one, methods=["GET"]),
        Route(f"{_BASE}/incidents/{{id}}/{{verb}}", face.act, methods=["POST"]),
        Route(f"{_BASE}/oncall", face.oncall, methods=["GET"]),
        Route(f"{_BASE}/alertmanager", face.alertmanager, methods=["POST"]),
        Route("/ack/style.css", links.style, methods=["GET"]),
        Route("/ack/{token}", links.ask, methods=["GET"]),
        Route("/ack/{token}", links.act, methods=["POST"]),
    ]


class _Face:
    def __init__(self, runner: EscalationRunner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def listing(self, request: Request) -> Response:
        state = request.query_params.get("state", "open")
        if state not in _STATES:
            return _refused(
                400,
                f"state is unknown: got {state[:60]!r}. Accepted: {', '.join(sorted(_STATES))}. "
                "Next: correct the parameter.",
            )
        try:
            most = integer(request.query_params, "limit", _LISTED, most=_LISTED_MAX)
        except QueryParseError as error:
            return _refused(400, str(error))
        found = await self._read(lambda cursor: rows.listed(cursor, _STATES[state], most))
        return _answer({"incidents": [incident_json(incident) for incident in found]})

    async def one(self, request: Request) -> Response:
        number = request.path_params["id"]
        incident, timeline, pages = await self._whole(number)
        if incident is None:
            return _refused(404, str(unknown(number)))
        return _answer(
            incident_json(incident)
            | {
                "alerts": [alert_json(alert) for alert in incident.alerts],
                "timeline": timeline,
                "pages": pages,
            }
        )

    async def export(self, request: Request) -> Response:
        number = request.path_params["id"]
        incident, timeline, _ = await self._whole(number)
        if incident is None:
            return _refused(404, str(unknown(number)))
        return Response(
            markdown(incident, timeline),
            media_type="text/markdown; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="incident-{incident.id}.md"'},
        )

    async def act(self, request: Request) -> Response:
        try:
            event = _event(request.path_params["verb"], await request.body())
            incident = await self._runner.act(request.path_params["id"], event)
        except IncidentError as error:
            return _refused(_STATUS[error.reason], str(error))
        except StoreError as error:
            return _refused(503, str(error))
        return _answer(incident_json(incident))

    async def oncall(self, request: Request) -> Response:
        try:
            hours = integer(request.query_params, "hours", _HOURS, most=_HOURS_MAX)
        except QueryParseError as error:
            return _refused(400, str(error))
        now_ms = self._clock.now_ns() // 1_000_000
        book = self._runner.ledger.book
        found = await to_thread.run_sync(oncall_json, book, now_ms, max(hours, 1))
        return _answer({"now_ms": now_ms, "schedules": found})

    async def alertmanager(self, request: Request) -> Response:
        source = request.query_params.get("source", "alertmanager")
        if not source.isprintable() or len(source) > _SOURCE_CHARS_MAX or source in {"", RULES}:
            return _refused(
                400,
                f"source cannot be used: got {source[:60]!r}. Accepted: a name of up to "
                f"{_SOURCE_CHARS_MAX} characters other than {RULES}. Next: correct the address.",
            )
        try:
            got = read_webhook(await request.body(), self._clock.now_ns() // 1_000_000)
            incident = await self._runner.on_notification(
                got.notification, source=source, complete=got.complete
            )
        except PayloadError as error:
            return _refused(400, str(error))
        except StoreError as error:
            return _refused(503, str(error))
        return _answer({"status": "success", "incident": incident.id if incident else None})

    async def _whole(
        self, number: str
    ) -> tuple[Incident | None, list[dict[str, Any]], list[dict[str, Any]]]:
        most = limit("incident_events_max")
        return await self._read(
            lambda cursor: (
                rows.find(cursor, number),
                rows.timeline(cursor, number, most),
                rows.pages_of(cursor, number),
            )
        )

    async def _read(self, ask: Callable[[Cursor], _T]) -> _T:
        def read() -> _T:
            with self._runner.ledger.store.state_read() as cursor:
                return ask(cursor)

        return await to_thread.run_sync(read)


class _Links:
    """Pages behind signed links: a GET asks, only a POST acts, since mail scanners follow links."""

    def __init__(self, runner: EscalationRunner, keys: LinkKeys, clock: Clock) -> None:
        self._runner = runner
        self._keys = keys
        self._clock = clock

    async def style(self, _request: Request) -> Response:
        return PlainTextResponse(STYLE, media_type="text/css")

    async def ask(self, request: Request) -> Response:
        token = request.path_params["token"]
        try:
            grant = await self._grant(token)
        except IncidentError as error:
            return _page(_STATUS[error.reason], "This link does nothing", None, str(error))
        incident, used = await to_thread.run_sync(self._look, grant, token)
        if incident is None:
            return _page(404, "This incident is gone", None, "It was resolved long ago.")
        if used:
            return _page(409, "This link was used already", incident)
        if incident.state is State.RESOLVED:
            message = f"It was resolved by {incident.resolved_by}."
            return _page(200, "This incident is resolved", incident, message)
        title = {
            "acknowledge": "Acknowledge this incident?",
            "unacknowledge": "Take the acknowledgement back?",
            "take": "Take this incident over?",
            "resolve": "Resolve this incident?",
        }[grant.verb]
        named = self._is_person(grant)
        page = link_page(title, incident, verb=grant.verb, who=grant.who, named=named)
        return HTMLResponse(page)

    async def act(self, request: Request) -> Response:
        token = request.path_params["token"]
        incident = None
        try:
            grant = await self._grant(token)
            incident, _ = await to_thread.run_sync(self._look, grant, token)
            who = grant.who
            if not self._is_person(grant):
                form = await request.form(max_files=0, max_fields=10)
                who = str(form.get("who", "")).strip()
            event = ByPerson(grant.verb, who, "link", key=token_digest(token))
            incident = await self._runner.act(grant.incident, event)
        except IncidentError as error:
            return _page(_STATUS[error.reason], "This changed nothing", incident, str(error))
        except StoreError as error:
            return _page(503, "This was not recorded", incident, f"{error} Then try again.")
        return _page(200, _DONE[grant.verb], incident, f"Recorded for {who}.")

    async def _grant(self, token: str) -> Grant:
        now_ms = self._clock.now_ns() // 1_000_000
        return await to_thread.run_sync(self._keys.read, token, now_ms)

    def _is_person(self, grant: Grant) -> bool:
        return grant.who in self._runner.ledger.book.users

    def _look(self, grant: Grant, token: str) -> tuple[Incident | None, bool]:
        with self._runner.ledger.store.state_read() as cursor:
            incident = rows.find(cursor, grant.incident)
            return incident, rows.used_key(cursor, grant.incident, token_digest(token))


def _event(verb: str, body: bytes) -> ByPerson:
    if verb not in _VERBS:
        raise IncidentError(
            f"no such action: got {verb[:60]!r}. Accepted: {', '.join(_VERBS)}. "
            "Next: correct the address.",
            "unknown",
        )
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    texts = (
        {name: fields.get(name, default) for name, default in _FIELDS.items()}
        if isinstance(fields, dict)
        else {}
    )
    if (
        not texts
        or not all(isinstance(text, str) for text in texts.values())
        or texts["via"] not in _VIAS
    ):
        raise IncidentError(
            f"the body cannot be read: got {body[:60]!r}. Accepted: a JSON object with `by` (who "
            f"does it), and if wanted `text` and `via` ({', '.join(_VIAS)}). "
            "Next: correct the body.",
            "invalid",
        )
    return ByPerson(cast("Verb", verb), texts["by"], cast("Via", texts["via"]), texts["text"])


_FIELDS = {"by": "", "text": "", "via": "api"}


def _answer(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _refused(status: int, error: str) -> Response:
    return _answer({"status": "error", "error": error}, status)


def _page(status: int, title: str, incident: Incident | None, message: str = "") -> Response:
    return HTMLResponse(link_page(title, incident, message=message), status)
