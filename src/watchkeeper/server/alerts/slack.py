"""Delivers messages to a Slack incoming webhook.

Answers: docs.slack.dev, "Sending messages using incoming webhooks" and "Rate limits". A delivered
message is answered 200 with the body ``ok`` and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import httpx
import orjson

from watchkeeper.errors import NotifyError, SettingError
from watchkeeper.server.alerts.blocks import payload
from watchkeeper.server.alerts.message import Message

__all__ = ["SlackReceiver"]

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 4_096
_RETRY_AFTER_S_MAX = 3_600.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class _NoRequests(logging.Filter):
    """Drops httpx's request lines: the webhook's address is a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


_NO_REQUESTS = _NoRequests()


class SlackReceiver:
    """One incoming webhook.

    Args:
        url: The webhook's address, a secret: it appears in no log, error or answer. https, or
            http on loopback.
        external_url: Address under which people reach our UI.
        timeout_s: Seconds after which an attempt is given up.

    Raises:
        SettingError: The address is not one that may be used.
    """

    name = "slack"

    def __init__(self, url: str, *, external_url: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            host = ""
        if not host or not (
            parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
        ):
            raise SettingError(
                "the Slack webhook's address cannot be used: got a secret that is not shown. "
                "Accepted: https://hooks.slack.com/services/… . Next: correct slack_webhook_url."
            )
        logging.getLogger("httpx").addFilter(_NO_REQUESTS)
        self._url = url
        self._external_url = external_url
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)

    def __repr__(self) -> str:
        return "SlackReceiver(…)"

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def send(self, message: Message) -> str:
        """Deliver *message*.

        Returns:
            ``ok``.

        Raises:
            NotifyError: Slack did not take it. Retryable after a network error, a timeout, 429
                (with Slack's wish in ``retry_after_s``) and 5xx; not after other answers.
        """
        body = orjson.dumps(payload(message, external_url=self._external_url))
        try:
            async with asyncio.timeout(self._timeout_s):
                status, headers, answer = await self._post(body)
        except TimeoutError:
            raise NotifyError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        except httpx.HTTPError as error:
            # The error's own text may name the address.
            raise NotifyError(f"network error: {type(error).__name__}", retryable=True) from None
        if status == 200 and answer == "ok":
            return answer
        shown = f"HTTP {status}: {answer[:200]}"
        if status == 429:
            raise NotifyError(
                shown, retryable=True, retry_after_s=_seconds(headers.get("retry-after", ""))
            )
        raise NotifyError(shown, retryable=status >= 500)

    async def _post(self, body: bytes) -> tuple[int, httpx.Headers, str]:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
            answer = b""
            async for chunk in response.aiter_bytes(_ANSWER_BYTES_MAX):
                answer += chunk
                if len(answer) >= _ANSWER_BYTES_MAX:
                    break
        return response.status_code, response.headers, answer.decode("utf-8", "replace").strip()


def _seconds(text: str) -> float | None:
    return min(float(text), _RETRY_AFTER_S_MAX) if text.isdigit() else None
