"""What a unit of work is done for: request id, user and tenant.

Kept in context variables, so a value follows the work through ``await`` and into tasks, and never
leaks into another request. Log lines carry them; so do the spans that ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

__all__ = [
    "bind",
    "fields",
    "request_id",
    "set_fields",
    "set_request_id",
    "set_tenant_id",
    "set_user_id",
    "tenant_id",
    "user_id",
    "watch_users",
]

_REQUEST: ContextVar[str] = ContextVar("watchkeeper_request_id", default="")
_USER: ContextVar[str] = ContextVar("watchkeeper_user_id", default="")
_TENANT: ContextVar[str] = ContextVar("watchkeeper_tenant_id", default="")
_FIELDS: ContextVar[dict[str, object] | None] = ContextVar("watchkeeper_fields", default=None)

request_id = _REQUEST.get
"""Return the id of the request being served, or ""."""
user_id = _USER.get
"""Return the id of the user that the work is done for, or ""."""
tenant_id = _TENANT.get
"""Return the id of the customer that the work is done for, or ""."""
fields = _FIELDS.get
"""Return the further fields bound to this context, or None; never change the dict."""


class _Watcher:
    """Who is told of the users that work is done for."""

    def __init__(self) -> None:
        self.callback: Callable[[str], None] | None = None


_WATCHER = _Watcher()


def watch_users(callback: Callable[[str], None] | None) -> None:
    """Call *callback*, which must not raise, with each user id given to `bind`; None stops it."""
    _WATCHER.callback = callback


def set_request_id(value: str) -> None:
    """Set the request id from here to the end of the current context; "" unsets it."""
    _REQUEST.set(value)


def set_user_id(value: str) -> None:
    """Set the user id from here to the end of the current context; "" unsets it."""
    _USER.set(value)


def set_tenant_id(value: str) -> None:
    """Set the tenant id from here to the end of the current context; "" unsets it."""
    _TENANT.set(value)


def set_fields(values: dict[str, object] | None) -> None:
    """Set the further fields from here to the end of the current context; None unsets them."""
    _FIELDS.set(values)


@contextmanager
def bind(
    *,
    request_id: str | None = None,
    user_id: str | None = None,
    tenant_id: str | None = None,
    **more: object,
) -> Iterator[None]:
    """Bind values for the length of a ``with`` block, then restore what was there.

    Args:
        request_id: Id of the request, or None to keep the present one.
        user_id: Id of the user, likewise.
        tenant_id: Id of the customer, likewise.
        more: Further fields for every log line in the block.
    """
    if user_id:
        seen = _WATCHER.callback
        if seen is not None:
            seen(user_id)
    given = ((_REQUEST, request_id), (_USER, user_id), (_TENANT, tenant_id))
    tokens = [(var, var.set(value)) for var, value in given if value is not None]
    token = _FIELDS.set({**(_FIELDS.get() or {}), **more}) if more else None
    try:
        yield
    finally:
        # A generator may be closed in another context (FastAPI runs plain generator dependencies
        # in worker threads): there is nothing to restore there.
        with suppress(ValueError):
            if token is not None:
                _FIELDS.reset(token)
            for var, previous in reversed(tokens):
                var.reset(previous)
