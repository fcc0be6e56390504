"""Finds what explains an alert best: a trace or a log line, and what changed before it began.

Asks the query APIs and nothing else, so that it works on any engine that serves them. What cannot be
found is left out: an explanation is a help, and never keeps a message from being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import structlog

from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.notification import Links, Notification
from watchkeeper.vocabulary.limits import limit

__all__ = ["Explained", "Explainer"]

_BEFORE_MS = 5 * 60_000
"""How long before its begin what led to an alert is looked for: rules have windows of minutes."""
_DEPLOYED_WITHIN_S = 6 * 3600
_TRACES = 20

_log = structlog.get_logger("watchkeeper.server.alerts")


class Explained(NamedTuple):
    """What was found; empty texts where nothing was."""

    url: str = ""
    """Address of a trace or of log lines in our UI."""
    label: str = ""
    """What it leads to."""
    changed: str = ""
    """One sentence."""


class Explainer:
    """Asks for what explains an alert.

    Args:
        http: A client of the server's query APIs; closed by `aclose`.
        external_url: Address under which people reach our UI; without it nothing is linked.
    """

    def __init__(self, http: httpx.AsyncClient, external_url: str) -> None:
        self._http = http
        self._ui = external_url.rstrip("/")

    @classmethod
    def in_process(cls, app: Any, external_url: str) -> Explainer:
        """Return one that asks the ASGI application *app*, without a socket between."""
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return cls(
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"), external_url
        )

    async def explain(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], starts_ms: int, now_ms: int
    ) -> Explained:
        """Return what explains an alert; never raises.

        A ``trace_query`` (TraceQL) or ``log_query`` (LogQL) among the annotations says where to look.
        Without one, the failed traces of the service that the label ``job`` names are looked at.

        Args:
            labels: The alert's.
            annotations: The alert's.
            starts_ms: When it began, Unix milliseconds.
            now_ms: Now.
        """
        try:
            async with asyncio.timeout(limit("explain_timeout_s")):
                return await self._explain(labels, annotations, starts_ms, now_ms)
        except TimeoutError:
            _log.warning("alert not explained", error="took longer than explain_timeout_s")
            return Explained()

    async def _explain(
        self, labels: Mapping[str, str], annotations: Mapping[str, str], starts_ms: int, now_ms: int
    ) -> Explained:
        service = labels.get("job", "")
        url, label = "", ""
        start_ms = starts_ms - _BEFORE_MS
        if self._ui:
            url, label = await self._trace(service, annotations, start_ms, now_ms)
            if not url and annotations.get("log_query"):
                url, label = await self._logs(annotations["log_query"], start_ms, now_ms)
        changed = await self._deploy(service, starts_ms) if service else ""
        return Explained(url, label, changed)

    async def of(self, notification: Notification) -> tuple[Links, str]:
        """Return the links of a message about a group, and what changed before it; never raises.

        The group's first firing alert is the one that is explained; what is resolved is not.
        """
        links = self._pages(notification)
        if not notification.firing:
            return links, ""
        first = notification.firing[0]
        found = await self.explain(
            first.labels, first.annotations, first.starts_ms, notification.now_ms
        )
        return replace(links, explore=found.url, explore_label=found.label), found.changed

    def _pages(self, notification: Notification) -> Links:
        if not self._ui:
            return Links()
        labels = notification.group_labels or notification.common_labels
        name = labels.get("alertname") or notification.common_labels.get("alertname", "")
        matchers = "&".join(
            f"filter={quote(str(Matcher(label, '=', value)), safe='')}"
            for label, value in labels.items()
        )
        return Links(
            alert=f"{self._ui}/#/alerts?name={quote(name, safe='')}",
            silence=f"{self._ui}/#/silences/new?{matchers}",
        )

    async def aclose(self) -> None:
        """Close the client."""
        await self._http.aclose()

    async def _trace(
        self, service: str, annotations: Mapping[str, str], start_ms: int, now_ms: int
    ) -> tuple[str, str]:
        query = annotations.get("trace_query", "")
        if not query:
            if not service or annotations.get("log_query"):
                return "", ""
            query = f"{{ resource.service.name = {_quoted(service)} && status = error }}"
        answer = await self._ask(
            "/api/search",
            {
                "q": query,
                "start": str(start_ms // 1000),
                "end": str(now_ms // 1000 + 1),
                "limit": str(_TRACES),
            },
        )
        traces = _rows(answer, "traces")
        if not traces:
            return "", ""
        slow = "duration" in query.lower()
        best = max(traces, key=lambda trace: trace.get("durationMs", 0)) if slow else traces[0]
        trace_id = str(best.get("traceID", ""))
        kind = "slowest trace" if slow else "latest failed trace" if "error" in query else "trace"
        name = str(best.get("rootTraceName", ""))[:80]
        return (
            f"{self._ui}/#/traces/{quote(trace_id, safe='')}",
            f"{kind}: {name}" if name else kind,
        )

    async def _logs(self, query: str, start_ms: int, now_ms: int) -> tuple[str, str]:
        answer = await self._ask(
            "/loki/api/v1/query_range",
            {
                "query": query,
                "start": str(start_ms * 1_000_000),
                "end": str(now_ms * 1_000_000),
                "limit": "1",
            },
        )
        data = answer.get("data")
        if not isinstance(data, dict) or not data.get("result"):
            return "", ""
        place = f"/#/logs?q={quote(query, safe='')}&from={start_ms}&to={now_ms}"
        return self._ui + place, "log lines"

    async def _deploy(self, service: str, starts_ms: int) -> str:
        """Say which version came up in the hours before, if another one ran before it."""
        seconds = _DEPLOYED_WITHIN_S
        query = (
            "min by (service_version) (min_over_time(timestamp("
            f"target_info{{job={_quoted(service)}}})[{seconds}s:30s]))"
        )
        answer = await self._ask(
            "/api/v1/query", {"query": query, "time": f"{starts_ms / 1000:.3f}"}
        )
        data = answer.get("data")
        found = _versions(data.get("result", ()) if isinstance(data, dict) else ())
        if len(found) < 2:
            return ""
        (_, before), (came_s, version) = found[-2:]
        minutes = max(0, round((starts_ms / 1000 - came_s) / 60))
        return f"{service} {version} came up {minutes} min before, after {before}"

    async def _ask(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        try:
            response = await self._http.get(path, params=dict(params))
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            _log.warning("alert not explained", path=path, error=f"{type(error).__name__}: {error}")
            return {}
        if response.status_code != 200 or not isinstance(answer, dict):
            _log.warning("alert not explained", path=path, status=response.status_code)
            return {}
        return answer


def _rows(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _versions(result: Iterable[Any]) -> list[tuple[float, str]]:
    """Return when each version was first seen, seconds since the epoch, oldest first."""
    found = []
    for row in result:
        try:
            version = str(row["metric"].get("service_version", ""))
            found.append((float(row["value"][1]), version))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
    return sorted((moment, version) for moment, version in found if version)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
