"""What a unit of work is done for: request id, user and tenant.

Kept in one context variable, so the values follow the work through ``await`` and into tasks, and
never leak into another request. Log lines carry them; so do the spans that ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = [
    "BOUND",
    "Bound",
    "Left",
    "bind",
    "fields",
    "left",
    "remember",
    "request_id",
    "set_fields",
    "set_request_id",
    "set_tenant_id",
    "set_user_id",
    "tenant_id",
    "user_id",
    "watch_users",
]


class Bound:
    """What is bound to a context, and the forms in which log lines repeat it; never changed.

    Args:
        request_id: Id of the request being served, or "".
        user_id: Id of the user that the work is done for, or "".
        tenant_id: Id of the customer that the work is done for, or "".
        fields: Further fields, or None.
        passed: Takes the user and tenant of the innermost `bind` block that an exception left, for
            whoever records the request; shared by all that derive from this one.
    """

    __slots__ = (
        "attributes",
        "entry",
        "fields",
        "passed",
        "request_id",
        "tenant_id",
        "texts",
        "user_id",
    )

    def __init__(
        self,
        request_id: str = "",
        user_id: str = "",
        tenant_id: str = "",
        fields: dict[str, object] | None = None,
        passed: list[Any] | None = None,
    ) -> None:
        self.passed = passed
        self.request_id = request_id
        self.user_id = user_id
        self.tenant_id = tenant_id
        self.fields = fields
        self.entry: dict[str, str] = {"request_id": request_id} if request_id else {}
        """The ids under their names in a line of JSON."""
        self.attributes: dict[str, str] = {"request.id": request_id} if request_id else {}
        """The ids under their names in a log record."""
        self.texts: tuple[str, ...] = ()
        """Those ids that were not made here, and may hold anything."""
        if request_id and (len(request_id) != 32 or not request_id.isalnum()):
            self.texts = (request_id,)
        if user_id:
            self.entry["user_id"] = self.attributes["user.id"] = user_id
            self.texts += (user_id,)
        if tenant_id:
            self.entry["tenant_id"] = self.attributes["tenant.id"] = tenant_id
            self.texts += (tenant_id,)

    def but(self, changes: dict[str, Any]) -> Bound:
        """Return the same with other values by name."""
        return Bound(**{name: getattr(self, name) for name in _NAMES} | changes)


_NAMES = ("request_id", "user_id", "tenant_id", "fields", "passed")
_NOTHING = Bound()
BOUND: ContextVar[Bound] = ContextVar("watchkeeper_bound", default=_NOTHING)
"""What is bound here and now."""


def request_id() -> str:
    """Return the id of the request being served, or ""."""
    return BOUND.get().request_id


def user_id() -> str:
    """Return the id of the user that the work is done for, or ""."""
    return BOUND.get().user_id


def tenant_id() -> str:
    """Return the id of the customer that the work is done for, or ""."""
    return BOUND.get().tenant_id


def fields() -> dict[str, object] | None:
    """Return the further fields bound to this context, or None; never change the dict."""
    return BOUND.get().fields


_LEFT = "_watchkeeper_left"


class Left(NamedTuple):
    """Where an exception comes from that left a unit of work: what log lines about it carry."""

    trace_id: int
    span_id: int
    flags: int
    bound: Bound


def remember(error: BaseException, trace_id: int, span_id: int, flags: int, bound: Bound) -> None:
    """Note on *error* where it comes from: a server logs it when nothing of that is current.

    Plain numbers and texts, since exceptions travel between processes.
    """
    ids = (bound.request_id, bound.user_id, bound.tenant_id)
    # A class of the application may refuse attributes; then it would also refuse to be unpickled
    # with one that was put there behind its back.
    with suppress(Exception):
        setattr(error, _LEFT, (trace_id, span_id, flags, *ids))


def left(error: BaseException) -> Left | None:
    """Return what `remember` noted on *error*, or None."""
    found = error.__dict__.get(_LEFT)
    if not isinstance(found, tuple) or len(found) != 6:
        return None
    trace_id, span_id, flags, *ids = found
    return Left(trace_id, span_id, flags, Bound(*ids))


def _pass_on(inside: Bound, error: BaseException) -> None:
    """Keep user and tenant of the block that *error* leaves first."""
    passed = inside.passed
    if passed is None or isinstance(error, GeneratorExit) or passed[:1] == [id(error)]:
        return
    passed[:] = (id(error), inside.user_id, inside.tenant_id)


class _Watcher:
    """Who is told of the users that work is done for."""

    def __init__(self) -> None:
        self.callback: Callable[[str], None] | None = None


_WATCHER = _Watcher()


def watch_users(callback: Callable[[str], None] | None) -> None:
    """Call *callback*, which must not raise, with each user id given to `bind`; None stops it."""
    _WATCHER.callback = callback


def _text(value: object) -> str:
    """Return an id as text: many are numbers or UUIDs; one that cannot be shown is a placeholder."""
    if type(value) is str:
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"[unprintable {type(value).__name__}]"


def set_request_id(value: str) -> None:
    """Set the request id from here to the end of the current context; "" unsets it."""
    BOUND.set(BOUND.get().but({"request_id": _text(value)}))


def set_user_id(value: str) -> None:
    """Set the user id from here to the end of the current context; "" unsets it."""
    BOUND.set(BOUND.get().but({"user_id": _text(value)}))


def set_tenant_id(value: str) -> None:
    """Set the tenant id from here to the end of the current context; "" unsets it."""
    BOUND.set(BOUND.get().but({"tenant_id": _text(value)}))


def set_fields(values: dict[str, object] | None) -> None:
    """Set the further fields from here to the end of the current context; None unsets them."""
    BOUND.set(BOUND.get().but({"fields": values}))


@contextmanager
def bind(
    *,
    request_id: object = None,
    user_id: object = None,
    tenant_id: object = None,
    **more: object,
) -> Iterator[None]:
    """Bind values for the length of a ``with`` block, then restore what was there.

    Args:
        request_id: Id of the request, anything that has a text; None keeps the present one.
        user_id: Id of the user, likewise.
        tenant_id: Id of the customer, likewise.
        more: Further fields for every log line in the block.
    """
    outside = BOUND.get()
    given = {"request_id": request_id, "user_id": user_id, "tenant_id": tenant_id}
    changes: dict[str, Any] = {
        name: _text(value) for name, value in given.items() if value is not None
    }
    seen = _WATCHER.callback
    if seen is not None and changes.get("user_id"):
        seen(changes["user_id"])
    if more:
        changes["fields"] = {**(outside.fields or {}), **more}
    if not changes:
        yield
        return
    inside = outside.but(changes)
    token = BOUND.set(inside)
    try:
        yield
    except BaseException as error:
        _pass_on(inside, error)
        raise
    finally:
        found = BOUND.get()
        # A generator may be closed in another context (FastAPI runs plain generator dependencies
        # in worker threads): there is nothing to restore there.
        with suppress(ValueError):
            BOUND.reset(token)
            if found is not inside:
                # What else was set inside, by `set_user_id` for example, stays.
                BOUND.set(found.but({name: getattr(outside, name) for name in changes}))
