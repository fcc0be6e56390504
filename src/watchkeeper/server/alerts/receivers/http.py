"""Posts JSON to a receiver: bounded in time and size, and silent about addresses and credentials.

Settings: Alertmanager's documentation, "Configuration", ``<http_config>``. Redirects that keep the
method (307, 308) are followed when ``follow_redirects`` is on; the others would turn the message
into an empty request, and are errors.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import orjson

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.receivers.settings import (
    Settings,
    revealed,
    secret,
    section,
    text,
)
from watchkeeper.vocabulary.limits import limit

__all__ = ["Answered", "Poster", "failure", "tls_context"]

_REDIRECTS_MAX = 5
_SHOWN_CHARS_MAX = 200
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")


class _NoRequests(logging.Filter):
    """Drops the request lines of the HTTP library: addresses and headers hold secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


_NO_REQUESTS = _NoRequests()


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: str
    """Its beginning, without white space around it."""


class Poster:
    """One connection pool for one integration.

    Args:
        http_config: The field of that name; empty for none.
        timeout_s: Seconds after which an attempt is given up.
    """

    def __init__(self, http_config: Settings, timeout_s: float) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_NO_REQUESTS)
        self._config = http_config
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return "Poster(…)"

    async def aclose(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(
        self, url: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Post *body* as JSON to *url*; bytes are posted as they are.

        Raises:
            NotifyError: There was no answer, or *url* is none.
        """
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise NotifyError(
                "the address cannot be used: got a text that is not shown. Accepted: https://… or "
                "http://… . Next: correct the address in the receiver's settings.",
                retryable=False,
            )
        sent = {
            "Content-Type": "application/json",
            "User-Agent": "watchkeeper",
            **self._headers(),
            **(headers or {}),
        }
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._attempt(url, content, sent)
        except TimeoutError:
            raise NotifyError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's own text may name the address.
            final = isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol))
            raise NotifyError(
                f"network error: {type(error).__name__}", retryable=not final
            ) from None

    async def _attempt(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answered:
        client = self._open()
        request = client.build_request("POST", url, content=content, headers=headers)
        for _ in range(_REDIRECTS_MAX + 1):
            response = await client.send(request, stream=True)
            following = response.next_request
            if (
                following is not None
                and response.status_code in {307, 308}
                and self._config.get("follow_redirects", True)
            ):
                await response.aclose()
                request = following
                continue
            return await _read(response)
        raise NotifyError("network error: too many redirects", retryable=False)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            proxy = text(self._config, "proxy_url")
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s,
                follow_redirects=False,
                verify=tls_context(section(self._config, "tls_config")),
                proxy=proxy or None,
                trust_env=bool(self._config.get("proxy_from_environment", False)),
            )
        return self._client

    def _headers(self) -> dict[str, str]:
        """Return the credentials that the settings name, read anew for each attempt."""
        found: dict[str, str] = {}
        for name, entry in section(self._config, "http_headers").items():
            values = entry if isinstance(entry, Mapping) else {"values": [entry]}
            for value in [*(values.get("values") or ()), *(values.get("secrets") or ())]:
                shown = revealed(value, name) if isinstance(value, Secret) else str(value)
                found[str(name)] = shown
        basic = section(self._config, "basic_auth")
        if basic:
            password = revealed(secret(basic, "password"), "basic_auth.password")
            login = httpx.BasicAuth(text(basic, "username"), password)
            flow = login.auth_flow(httpx.Request("POST", "http://localhost"))
            found["Authorization"] = next(flow).headers["Authorization"]
        authorization = section(self._config, "authorization")
        credentials = secret(authorization, "credentials")
        if credentials:
            kind = text(authorization, "type") or "Bearer"
            found["Authorization"] = f"{kind} {revealed(credentials, 'authorization.credentials')}"
        bearer = secret(self._config, "bearer_token")
        if bearer:
            found["Authorization"] = f"Bearer {revealed(bearer, 'bearer_token')}"
        return found


async def _read(response: httpx.Response) -> Answered:
    most = limit("notification_answer_bytes_max")
    found = b""
    try:
        async for chunk in response.aiter_bytes(most):
            found += chunk
            if len(found) >= most:
                break
    finally:
        await response.aclose()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answered(response.status_code, headers, found[:most].decode("utf-8", "replace").strip())


def failure(answer: Answered, *, retry_on: tuple[int, ...] = (429,)) -> NotifyError:
    """Return the error for an answer that is none of success.

    Args:
        answer: What came.
        retry_on: Statuses other than 5xx after which another attempt can help.
    """
    retryable = answer.status >= 500 or answer.status in retry_on
    shown = f"HTTP {answer.status}: {answer.body[:_SHOWN_CHARS_MAX]}".rstrip(": ")
    wait = _seconds(answer.headers.get("retry-after", "")) if retryable else None
    return NotifyError(shown, retryable=retryable, retry_after_s=wait)


def tls_context(tls_config: Settings) -> ssl.SSLContext:
    """Return what ``tls_config`` asks for; by default the system's authorities.

    Raises:
        NotifyError: A file that it names cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=text(tls_config, "ca_file") or None)
        if text(tls_config, "ca"):
            context.load_verify_locations(cadata=text(tls_config, "ca"))
        if text(tls_config, "cert_file"):
            context.load_cert_chain(
                text(tls_config, "cert_file"), text(tls_config, "key_file") or None
            )
        lowest = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
        context.minimum_version = lowest.get(
            text(tls_config, "min_version"), ssl.TLSVersion.TLSv1_2
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise NotifyError(
            f"tls_config cannot be used: {type(error).__name__}", retryable=True
        ) from None
    if tls_config.get("insecure_skip_verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _seconds(given: str) -> float | None:
    most = float(limit("notification_retry_after_s_max"))
    return min(float(given), most) if given.isascii() and given.isdigit() else None
