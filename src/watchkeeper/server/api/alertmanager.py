"""Alertmanager's HTTP API, version 2, over our own routing.

Source: Alertmanager's ``api/v2/openapi.yaml``; ``amtool`` and Prometheus work against it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import re2
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchkeeper.errors import MatcherError, SilenceError, StoreError
from watchkeeper.server.alerts.config.matchers import parse_matcher
from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.config.route import matching_routes
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert, LabelsOrder, pushed
from watchkeeper.server.alerts.dispatch.engine import Engine, Status, alert_order
from watchkeeper.server.alerts.dispatch.groups import Group
from watchkeeper.server.alerts.dispatch.inhibit import matched
from watchkeeper.server.alerts.dispatch.silences import Silence
from watchkeeper.server.alerts.dispatcher import Dispatcher
from watchkeeper.server.api.alertmanager_json import (
    Refusal,
    alert_json,
    parse_alerts,
    parse_silence,
    silence_json,
    time_json,
)
from watchkeeper.server.api.prometheus_status import own_version
from watchkeeper.server.rules.evaluation import Counts

__all__ = ["routes"]

_LEVEL = "0.28.1"
"""The Alertmanager version whose API this is."""
_TRUE = {"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}
"""What go-openapi takes for true; everything else is false."""

Handler = Callable[[Request], Awaitable[Response]]


def routes(dispatcher: Dispatcher, counts: Counts) -> list[Route]:
    """Return the routes.

    Args:
        dispatcher: What they show and change.
        counts: Where refused alerts are counted.
    """
    api = _Api(dispatcher, counts)

    def on(path: str, method: str, handler: Handler) -> Route:
        return Route(f"/api/v2{path}", _answered(handler), methods=[method])

    return [
        on("/alerts", "GET", api.alerts),
        on("/alerts", "POST", api.post_alerts),
        on("/alerts/groups", "GET", api.groups),
        on("/silences", "GET", api.silences),
        on("/silences", "POST", api.post_silence),
        on("/silence/{id}", "GET", api.silence),
        on("/silence/{id}", "DELETE", api.delete_silence),
        on("/status", "GET", api.status),
        on("/receivers", "GET", api.receivers),
    ]


def _answered(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return (
                Response(status_code=refusal.status)
                if refusal.body is None
                else _json(refusal.body, refusal.status)
            )
        except SilenceError as error:
            return _json(str(error), 404 if error.missing else 400)
        except StoreError as error:
            return _json(str(error), 500)

    return handle


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


class _Filter:
    """Which alerts a request asks for."""

    def __init__(self, params: QueryParams) -> None:
        self.matchers = _matchers(params)
        self._shown = {name: _true(params, name) for name in ("active", "silenced", "inhibited")}
        receiver = params.get("receiver")
        try:
            self._receiver = None if receiver is None else re2.compile(f"^(?:{receiver})$")
        except re2.error:
            raise Refusal(400, f"failed to parse receiver param: {receiver!r} is no RE2") from None

    def takes_receiver(self, name: str) -> bool:
        return self._receiver is None or self._receiver.search(name) is not None

    def takes(self, alert: ActiveAlert, status: Status) -> bool:
        return (
            (self._shown["active"] or status.state != "active")
            and (self._shown["silenced"] or not status.silenced_by)
            and (self._shown["inhibited"] or not status.inhibited_by)
            and matched(self.matchers, alert.labels)
        )


def _true(params: QueryParams, name: str) -> bool:
    return params.get(name, "true").lower() in _TRUE


def _matchers(params: QueryParams) -> tuple[Matcher, ...]:
    try:
        return tuple(parse_matcher(text) for text in params.getlist("filter"))
    except MatcherError as error:
        raise Refusal(400, f"bad matcher format: {error}") from None


def _silence_id(request: Request) -> str:
    text: str = request.path_params["id"]
    try:
        return str(uuid.UUID(text))
    except ValueError:
        message = f'silenceID in path must be of type uuid: "{text[:100]}"'
        raise Refusal(422, {"code": 601, "message": message}) from None


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f'unsupported media type "{kind[:100]}", only [application/json] are allowed'
        raise Refusal(415, {"code": 415, "message": message})
    return await request.body()


class _Api:
    def __init__(self, dispatcher: Dispatcher, counts: Counts) -> None:
        self._dispatcher = dispatcher
        self._counts = counts
        self._began_ms = dispatcher.now_ms()

    @property
    def _engine(self) -> Engine:
        return self._dispatcher.engine

    async def status(self, _request: Request) -> Response:
        unknown = dict.fromkeys(("branch", "buildDate", "buildUser", "goVersion"), "")
        revision = f"watchkeeper-{own_version()}"
        return _json(
            {
                "cluster": {"peers": [], "status": "disabled"},
                "config": {"original": self._engine.config.original},
                "uptime": time_json(self._began_ms),
                "versionInfo": {"version": _LEVEL, "revision": revision, **unknown},
            }
        )

    async def receivers(self, _request: Request) -> Response:
        return _json([{"name": name} for name in self._engine.config.receivers])

    async def alerts(self, request: Request) -> Response:
        wanted, now_ms, engine = _Filter(request.query_params), self._now_ms(), self._engine
        found = []
        for alert in engine.alerts:
            if alert.resolved(now_ms):
                continue
            receivers = [
                node.receiver for node in matching_routes(engine.config.route, alert.labels)
            ]
            status = engine.status(alert.labels, now_ms)
            if any(map(wanted.takes_receiver, receivers)) and wanted.takes(alert, status):
                found.append(alert_json(alert, status, receivers, self._open_end_ms(now_ms)))
        return _json(sorted(found, key=lambda shown: str(shown["fingerprint"])))

    async def groups(self, request: Request) -> Response:
        wanted, now_ms = _Filter(request.query_params), self._now_ms()
        groups: list[tuple[Group, list[tuple[ActiveAlert, Status]]]] = []
        receivers: dict[str, list[str]] = {}
        for group in self._engine.groups:
            if not wanted.takes_receiver(group.route.receiver):
                continue
            alerts = [
                (alert, status)
                for alert in sorted(group.alerts.values(), key=alert_order)
                if not alert.resolved(now_ms)
                and wanted.takes(alert, status := self._engine.status(alert.labels, now_ms))
            ]
            for alert, _ in alerts:
                receivers.setdefault(alert.fingerprint, []).append(group.route.receiver)
            if alerts:
                groups.append((group, alerts))
        groups.sort(key=lambda found: _group_order(found[0]))
        ends_ms = self._open_end_ms(now_ms)
        return _json(
            [
                {
                    "alerts": [
                        alert_json(alert, status, sorted(receivers[alert.fingerprint]), ends_ms)
                        for alert, status in alerts
                    ],
                    "labels": dict(group.labels),
                    "receiver": {"name": group.route.receiver},
                }
                for group, alerts in groups
            ]
        )

    async def post_alerts(self, request: Request) -> Response:
        posted = parse_alerts(await _body(request))
        now_ms, timeout_ms = self._now_ms(), self._engine.config.resolve_timeout_ms
        problems = [alert.problem for alert in posted if alert.problem]
        # What is valid is taken, whatever else the request holds.
        await self._dispatcher.push(
            [
                pushed(
                    alert.labels,
                    alert.annotations,
                    starts_ms=alert.starts_ms,
                    ends_ms=alert.ends_ms,
                    now_ms=now_ms,
                    resolve_timeout_ms=timeout_ms,
                    generator_url=alert.generator_url,
                )
                for alert in posted
                if not alert.problem
            ]
        )
        if problems:
            self._counts.count(
                "watchkeeper.server.refused", "alerts", "alert_invalid", by=float(len(problems))
            )
            return _json("; ".join(problems[:100]), 400)
        return Response(status_code=200)

    async def silences(self, request: Request) -> Response:
        now_ms, params = self._now_ms(), request.query_params
        wanted = set(_matchers(params))
        states = {s for s in ("active", "pending", "expired") if _true(params, s)}
        found = [
            silence
            for silence in self._engine.silences
            if wanted <= set(silence.matchers) and silence.state(now_ms) in states
        ]
        found.sort(key=lambda silence: _silence_order(silence, now_ms))
        return _json([silence_json(silence, now_ms) for silence in found])

    async def post_silence(self, request: Request) -> Response:
        wanted = parse_silence(await _body(request))
        return _json({"silenceID": await self._dispatcher.set_silence(wanted)})

    async def silence(self, request: Request) -> Response:
        found = self._engine.silences.get(_silence_id(request))
        if found is None:
            raise Refusal(404)
        return _json(silence_json(found, self._now_ms()))

    async def delete_silence(self, request: Request) -> Response:
        await self._dispatcher.expire_silence(_silence_id(request))
        return Response(status_code=200)

    def _now_ms(self) -> int:
        return self._dispatcher.now_ms()

    def _open_end_ms(self, now_ms: int) -> int:
        return now_ms + self._engine.config.resolve_timeout_ms


def _group_order(group: Group) -> tuple[Any, ...]:
    return LabelsOrder(group.labels), group.route.receiver


def _silence_order(silence: Silence, now_ms: int) -> tuple[int, int]:
    """Active ones by end, pending ones by start, then ended ones, the latest first."""
    match silence.state(now_ms):
        case "active":
            return 1, silence.ends_ms
        case "pending":
            return 2, silence.starts_ms
        case _:
            return 3, -silence.ends_ms
