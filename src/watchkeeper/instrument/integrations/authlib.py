"""authlib's OAuth clients: how sign-ins end, and how long the provider takes for a token.

An ``auth.attempt`` for each sign-in through an identity provider and each refresh of a token, and a
span around each token that is asked for. See `watchkeeper.instrument.domain.attempts` for how an
attempt that the application tells too is counted once.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument.domain.attempts import Attempt, hold
from watchkeeper.instrument.domain.auth import auth_event
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.exchange import MARK, Exchange
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.current import activate, deactivate

__all__ = ["instrument"]

_HOOK = "authlib"
_PROVIDER = "_watchkeeper_provider"
_GRANT = re.compile(r"(?:^|&)grant_type=([a-z_]{1,40})(?:&|$)")
_GRANTS = frozenset(("authorization_code", "client_credentials", "password", "refresh_token"))
_REASONS = frozenset(
    (
        # RFC 6749, sections 4.1.2.1 and 5.2
        "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type",
        "invalid_scope", "server_error", "temporarily_unavailable", "invalid_client",
        "invalid_grant", "unsupported_grant_type",
        # OpenID Connect Core 1.0, section 3.1.2.6
        "interaction_required", "login_required", "account_selection_required",
        "consent_required", "invalid_request_uri", "invalid_request_object",
        "request_not_supported", "request_uri_not_supported", "registration_not_supported",
        # authlib's own, and those of its tokens
        "mismatching_state", "missing_request_token", "missing_token", "token_expired",
        "token_invalid", "unsupported_token_type", "bad_signature", "invalid_claim",
        "missing_claim", "expired_token", "invalid_token",
    )
)  # fmt: skip
"""Error codes that become a reason. The code of a callback comes from outside, so others do not."""
_INSIDE: ContextVar[bool] = ContextVar("watchkeeper_authlib_inside", default=False)


def instrument(host: Host) -> Callable[[], None]:
    """Record the sign-ins and token requests of every authlib OAuth client.

    The classes of the frameworks (Starlette, Flask, Django) and of the HTTP libraries (httpx,
    requests) are imported after the base that this waits for, so they are met as they are made.

    Returns:
        A function that undoes it.
    """
    from authlib.integrations.base_client import BaseApp
    from authlib.integrations.base_client.sync_app import OAuth2Base
    from authlib.oauth2.client import OAuth2Client

    classes = _Classes(host)
    return all_of(
        classes.undo,
        classes.follow(BaseApp, ("authorize_access_token", "authorize_redirect"), _sign_in),
        classes.follow(OAuth2Client, ("_fetch_token", "_refresh_token"), _token_request),
        _name_clients(OAuth2Base),
    )


class _Classes:
    """Classes whose methods were replaced, those to come among them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._undos: list[Callable[[], None]] = []

    def follow(
        self, base: Any, names: tuple[str, ...], around: Callable[..., Any]
    ) -> Callable[[], None]:
        """Replace the methods *names* of *base* and of every class below it, now and later."""
        waiting = [base]
        while waiting:
            cls = waiting.pop()
            self._dress(cls, names, around)
            waiting += cls.__subclasses__()

        def init_subclass(cls: Any, /, **kwargs: Any) -> None:
            super(base, cls).__init_subclass__(**kwargs)
            self._dress(cls, names, around)

        base.__init_subclass__ = classmethod(init_subclass)

        def undo() -> None:
            del base.__init_subclass__

        return undo

    def _dress(self, cls: Any, names: tuple[str, ...], around: Callable[..., Any]) -> None:
        for name in names:
            function = cls.__dict__.get(name)
            if function is None or not inspect.isfunction(function):
                continue
            watched = partial(around, self._host, name)
            self._undos.append(replace(cls, name, _wrapped(function, watched)))

    def undo(self) -> None:
        """Put every method back."""
        for undo in reversed(self._undos):
            undo()


def _wrapped(function: Any, watched: Callable[..., Any]) -> Any:
    if inspect.iscoroutinefunction(function):

        async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
            with watched(self, args, kwargs):
                return await function(self, *args, **kwargs)

        return awaited

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        with watched(self, args, kwargs):
            return function(self, *args, **kwargs)

    return called


@contextmanager
def _sign_in(
    _host: Host, name: str, app: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> Iterator[None]:
    if _INSIDE.get():
        yield
        return
    token = _INSIDE.set(True)
    try:
        yield
    except Exception as error:
        _seen(app, args, _reason(error))
        raise
    else:
        # The way to the provider is no attempt yet; only its failure ends one.
        if name == "authorize_access_token":
            _seen(app, args, None)
    finally:
        _INSIDE.reset(token)


def _seen(app: Any, args: tuple[Any, ...], reason: str | None) -> None:
    try:
        outcome = "success" if reason is None else "failure"
        attempt = Attempt("login", str(app.name or "unknown"), outcome, reason)
        hold(attempt)
        exchange = _exchange(args)
        if exchange is None or exchange.finished:
            _tell(attempt)
        else:
            exchange.at_end = partial(_tell, attempt)
    except Exception as failure:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, failure)


def _tell(attempt: Attempt) -> None:
    if attempt.claimed or attempt.told:
        return
    auth_event(
        attempt.action,
        method="oauth",
        provider=attempt.provider,
        outcome=attempt.outcome,
        reason=attempt.reason,
    )
    attempt.claimed, attempt.told = False, True


def _exchange(args: tuple[Any, ...]) -> Exchange | None:
    """Return the request being served: Starlette's and Django's is an argument, Flask's is not."""
    request = args[0] if args else None
    carrier = getattr(request, "scope", None) or getattr(request, "META", None)
    if carrier is None:
        flask = sys.modules.get("flask")
        if flask is None or not flask.has_request_context():
            return None
        carrier = flask.request.environ
    found = carrier.get(MARK)
    return found if isinstance(found, Exchange) else None


@contextmanager
def _token_request(
    host: Host, name: str, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[None]:
    span = None
    provider = "unknown"
    try:
        url = urlsplit(str(args[0] if args else kwargs.get("url") or ""))
        provider = getattr(client, _PROVIDER, None) or url.hostname or provider
        attributes: dict[str, Any] = {
            "auth.provider": provider,
            "oauth.grant_type": _grant(name, args, kwargs),
            "server.address": url.hostname or "",
        }
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        if port is not None:
            attributes["server.port"] = port
        span = host.recorder.start(f"oauth token {provider}", SpanKind.CLIENT, attributes)
    except Exception as failure:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, failure)
    if span is None:
        yield
        return
    token = activate(span)
    try:
        yield
    except BaseException as error:
        reason = _reason(error)
        # Not the error's text: a provider may repeat in it what it was sent.
        span.attributes["error.type"] = reason
        span.set_status(StatusCode.ERROR)
        if isinstance(error, Exception):
            _refreshed(name, provider, reason)
        raise
    else:
        _refreshed(name, provider, None)
    finally:
        deactivate(token)
        span.end()


def _refreshed(name: str, provider: str, reason: str | None) -> None:
    if name != "_refresh_token":
        return
    attempt = Attempt("refresh", provider, "success" if reason is None else "failure", reason)
    _tell(attempt)
    hold(attempt)


def _grant(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if name == "_refresh_token":
        return "refresh_token"
    body = args[1] if len(args) > 1 else kwargs.get("body")
    found = _GRANT.search(body) if isinstance(body, str) else None
    return found[1] if found is not None and found[1] in _GRANTS else "other"


def _reason(error: BaseException) -> str:
    code = getattr(error, "error", None)
    if isinstance(code, str):
        return code if code in _REASONS else "other"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"TimeoutException", "Timeout", "TimeoutError"}:
        return "timeout"
    if kinds & {"TransportError", "RequestException", "HTTPStatusError", "OSError"}:
        return "unreachable"
    return "other"


def _name_clients(base: Any) -> Callable[[], None]:
    """Let a client know the name that its application registered the provider under."""
    make = base._get_oauth_client  # noqa: SLF001 - every client of an application is made here

    def named(self: Any, **metadata: Any) -> Any:
        client = make(self, **metadata)
        try:
            setattr(client, _PROVIDER, str(self.name or "unknown"))
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        return client

    return replace(base, "_get_oauth_client", named)
