"""The page that shows and changes the levels of loggers while the process runs.

``GET`` shows them, ``PUT`` changes some, ``DELETE`` takes changes back. Every request needs the
setting ``admin_token`` as ``Authorization: Bearer``; while that is empty the page does not exist.
No cookie ever counts, so another site's page cannot make a browser change anything.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from watchkeeper.errors import LogLevelError
from watchkeeper.instrument import parse
from watchkeeper.instrument.logs.control import LevelControl
from watchkeeper.instrument.pages import Answer, Ask, Page

__all__ = ["PATH", "level_page"]

PATH = "/-/watchkeeper/log-levels"

_METHODS = "GET, PUT, DELETE"
_FOR_S_MAX = 365 * 86_400
_ACCEPTED = '{"levels": {"shop.db": "debug"}, "for_s": 600}'


def level_page(control: LevelControl, token: str) -> Page:
    """Return the page.

    Args:
        control: What it shows and changes.
        token: What a request must bring; not empty.
    """
    expected = token.encode()

    def page(ask: Ask) -> Answer:
        scheme, _, given = ask.authorization.partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)
        if not right or scheme.lower() != "bearer":
            return _refused(401, "the token is missing or wrong", (("WWW-Authenticate", "Bearer"),))
        handler = _HANDLERS.get(ask.method)
        if handler is None:
            return _refused(405, f"accepted are {_METHODS}", (("Allow", _METHODS),))
        if ask.body is None:
            return _refused(413, "the body is too long")
        try:
            handler(control, _body(ask.body))
        except ValueError as error:
            return _refused(400, f"{error}. Accepted: {_ACCEPTED}")
        except LogLevelError as error:
            return _refused(422, str(error))
        return Answer(200, orjson.dumps(control.state()) + b"\n")

    return page


def _show(control: LevelControl, body: Mapping[str, Any]) -> None:
    del control, body


def _change(control: LevelControl, body: Mapping[str, Any]) -> None:
    given = body.get("levels")
    if not isinstance(given, Mapping) or not given:
        raise ValueError("levels are missing")
    for_s = body.get("for_s", 0)
    if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not math.isfinite(for_s):
        raise ValueError("for_s is not a number")
    if not 0 <= for_s <= _FOR_S_MAX:
        raise ValueError(f"for_s is not between 0 and {_FOR_S_MAX}")
    levels = parse.levels(given)
    if any(len(name) > 200 or not name.isprintable() for name in levels):
        raise ValueError("a logger's name is too long or unprintable")
    control.change({"" if name == "*" else name: one for name, one in levels.items()}, for_s)


def _reset(control: LevelControl, body: Mapping[str, Any]) -> None:
    names = body.get("loggers")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise ValueError("loggers is not a list of names")
    control.reset(None if names is None else ["" if name == "*" else name for name in names])


_HANDLERS: Mapping[str, Callable[[LevelControl, Mapping[str, Any]], None]] = {
    "GET": _show,
    "PUT": _change,
    "DELETE": _reset,
}


def _body(given: bytes) -> Mapping[str, Any]:
    if not given.strip():
        return {}
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004 - one error for all
    return found


def _refused(status: int, why: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, orjson.dumps({"error": why}) + b"\n", headers)
