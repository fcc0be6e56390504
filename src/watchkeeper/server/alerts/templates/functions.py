"""The functions of Alertmanager's template language beside Go's own.

Source: Alertmanager's documentation, "Notification template reference".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote_plus

import orjson

from watchkeeper.server.alerts.templates.gotime import Moment, Span, parsed_time
from watchkeeper.server.rules.template_functions import FUNCTIONS as RULE_FUNCTIONS
from watchkeeper.server.rules.template_functions import FunctionError

__all__ = ["FUNCTIONS", "Safe", "Timed"]

_SHARED = (
    "and", "eq", "ge", "gt", "html", "index", "le", "len", "lt", "match", "ne", "not", "or",
    "print", "printf", "println", "reReplaceAll", "toLower", "toUpper", "urlquery",
)  # fmt: skip


class Safe(str):
    """A text that is shown as it is: markup of the template's author."""

    __slots__ = ()


class Timed(Protocol):
    """What functions may ask for."""

    @property
    def now(self) -> Moment:
        """The time at which the notification is made."""
        ...


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise FunctionError(f"wants a string, got {value!r:.100}")
    return value


def _words(value: object) -> list[str]:
    if not isinstance(value, list):
        raise FunctionError(f"wants a list of strings, got {value!r:.100}")
    return [_word(item) for item in value]


def _time(value: object) -> Moment:
    if not isinstance(value, Moment):
        raise FunctionError(f"wants a time, got {value!r:.100}")
    return value


def _title(_: Timed, text: object) -> str:
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].upper(), _word(text).lower())


def _zone(_: Timed, name: object, at: object) -> Moment:
    try:
        return _time(at).zone(_word(name))
    except ValueError as error:
        raise FunctionError(str(error)) from None


def _must_date(_: Timed, layout: object, text: object) -> Moment:
    found = parsed_time(_word(layout), _word(text))
    if found is None:
        raise FunctionError(f"{text!r:.100} does not fit the layout {layout!r:.100}")
    return found


def _humanize_duration(context: Any, value: object) -> object:
    given = value.seconds if isinstance(value, Span) else value
    return RULE_FUNCTIONS["humanizeDuration"](context, given)


def _json(_: Timed, value: object) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        raise FunctionError("toJson wants texts, numbers, lists and maps") from None


def _decoded(_: Timed, text: object) -> str:
    try:
        return base64.urlsafe_b64decode(_word(text)).decode()
    except (binascii.Error, ValueError):
        raise FunctionError("base64decode wants base64 of the URL's alphabet") from None


def _dict(_: Timed, *given: object) -> dict[str, object]:
    if len(given) % 2:
        raise FunctionError("dict wants names and values in turn")
    return {_word(given[at]): given[at + 1] for at in range(0, len(given), 2)}


def _append(_: Timed, items: object, *more: object) -> list[object]:
    if not isinstance(items, list):
        raise FunctionError(f"append wants a list, got {items!r:.100}")
    return [*items, *more]


def _slice(_: Timed, value: object, *bounds: object) -> object:
    if not isinstance(value, (str, list)) or len(bounds) > 2:
        raise FunctionError("slice wants a text or a list, and two numbers at most")
    ends = [bound for bound in bounds if isinstance(bound, int) and 0 <= bound <= len(value)]
    if len(ends) < len(bounds):
        raise FunctionError("slice: index out of range")
    start, stop = (*ends, 0)[0] if ends else 0, ends[1] if len(ends) == 2 else len(value)
    return value[start:stop]


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    **{name: RULE_FUNCTIONS[name] for name in _SHARED},
    "append": _append,
    "base64decode": _decoded,
    "base64encode": lambda _, text: base64.urlsafe_b64encode(_word(text).encode()).decode(),
    "date": lambda _, layout, at: _time(at).format(_word(layout)),
    "dict": _dict,
    "humanizeDuration": _humanize_duration,
    "join": lambda _, between, texts: _word(between).join(_words(texts)),
    "list": lambda _, *given: list(given),
    "mustToDate": _must_date,
    "now": lambda context: context.now,
    "routeLabels": lambda _, name: _word(name)[:0],
    "safeHtml": lambda _, text: Safe(_word(text)),
    "safeUrl": lambda _, text: Safe(_word(text)),
    "since": lambda context, at: Span((context.now.at - _time(at).at).total_seconds()),
    "slice": _slice,
    "stringSlice": lambda _, *given: [_word(one) for one in given],
    "title": _title,
    "toDate": lambda _, layout, text: parsed_time(_word(layout), _word(text)) or Moment.of(None),
    "toJson": _json,
    "trimSpace": lambda _, text: _word(text).strip(),
    "tz": _zone,
    "urlUnescape": lambda _, text: unquote_plus(_word(text)),
}
"""Every function by name; the first argument is always the context."""
