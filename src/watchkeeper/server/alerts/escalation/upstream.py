"""Tells a production Alertmanager what was acknowledged here, and learns what ended there.

See docs/decisions/021-acknowledgements-upstream.md for why this is a silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import orjson

from watchkeeper.clock import Clock
from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.escalation.incident import Incident
from watchkeeper.server.alerts.escalation.model import Bridge
from watchkeeper.server.alerts.notification import Delivery

__all__ = ["AlertmanagerBridge"]

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_GONE = re.compile(r"already expired|not found|state: expired", re.IGNORECASE)
_RETRY_FROM = 500


class AlertmanagerBridge:
    """Speaks the Alertmanager API v2 (its ``api/v2/openapi.yaml``).

    Args:
        bridge: Address, and how long a silence lasts.
        clock: Where time comes from.
        transport: How requests travel; the network if None.
    """

    def __init__(
        self, bridge: Bridge, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._bridge = bridge
        self._clock = clock
        self._http = httpx.AsyncClient(
            transport=transport, timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def tell(
        self, kind: str, incident: Incident, by: str, thread: Mapping[str, str]
    ) -> Delivery:
        """Make a silence for an acknowledged group; end it when it is open again, or resolved.

        Raises:
            NotifyError: Alertmanager could not be told, or the alerts share no label.
        """
        silence = thread.get("silence", "")
        if kind == "acknowledged":
            return await self._silence(incident, by)
        if not silence:
            return Delivery("there is no silence to end")
        answer = await self._ask("DELETE", f"/api/v2/silence/{silence}")
        if answer.status_code not in {200, 404} and not _GONE.search(answer.text[:1000]):
            raise _refused(answer)
        return Delivery(f"the silence {silence} is ended")

    async def firing(self, incident: Incident) -> bool:
        """Tell whether any alert of *incident* still fires there, silenced ones included.

        Raises:
            NotifyError: Alertmanager did not say.
        """
        filters = [_matcher(name, value) for name, value in incident.group_labels.items()]
        answer = await self._ask("GET", "/api/v2/alerts", params={"filter": filters})
        if answer.status_code != 200 or len(answer.content) > _ANSWER_BYTES_MAX:
            raise _refused(answer)
        try:
            there = {alert["fingerprint"] for alert in orjson.loads(answer.content)}
        except (orjson.JSONDecodeError, TypeError, KeyError):
            raise _refused(answer) from None
        return any(alert.fingerprint in there for alert in incident.alerts)

    async def _silence(self, incident: Incident, by: str) -> Delivery:
        labels = incident.notification.common_labels
        if not labels:
            raise NotifyError(
                "the alerts of the group share no label: a silence would mute everything",
                retryable=False,
            )
        now_ms = self._clock.now_ns() // 1_000_000
        wanted = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in sorted(labels.items())
            ],
            "startsAt": _rfc3339(now_ms),
            "endsAt": _rfc3339(now_ms + self._bridge.silence_ms),
            "createdBy": "watchkeeper",
            "comment": f"incident {incident.id} was acknowledged by {by}",
        }
        answer = await self._ask("POST", "/api/v2/silences", json=wanted)
        try:
            silence = str(orjson.loads(answer.content)["silenceID"])
        except (orjson.JSONDecodeError, TypeError, KeyError):
            raise _refused(answer) from None
        return Delivery(f"silenced there as {silence[:60]}", {"silence": silence})

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, list[str]] | None = None,
        json: object = None,
    ) -> httpx.Response:
        try:
            return await self._http.request(
                method, self._bridge.url + path, params=params, json=json
            )
        except httpx.HTTPError as error:
            raise NotifyError(
                f"Alertmanager cannot be reached: {type(error).__name__}", retryable=True
            ) from None


def _refused(answer: httpx.Response) -> NotifyError:
    return NotifyError(
        f"Alertmanager answered {answer.status_code}: {answer.text[:200]!r}",
        retryable=answer.status_code >= _RETRY_FROM or answer.status_code == 429,
    )


def _matcher(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def _rfc3339(t_ms: int) -> str:
    return datetime.fromtimestamp(t_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
