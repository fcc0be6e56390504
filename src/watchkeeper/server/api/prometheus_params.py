"""Parameters of the Prometheus HTTP API, from the query string and from form bodies."""

from __future__ import annotations

import math
import re
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from watchkeeper.errors import PayloadTooLargeError, QueryParseError
from watchkeeper.server.promql.ast import Selector, unwrap
from watchkeeper.server.promql.parser import parse, parse_duration_ms
from watchkeeper.server.series import Matcher
from watchkeeper.vocabulary.limits import limit

__all__ = ["Params", "unescaped_label"]

_FORM = "application/x-www-form-urlencoded"
_FURTHEST_S = 9e12
"""Clients send far moments to mean "always"; they are cut to this many seconds around 1970."""
_BOUNDARIES = {
    "-292273086-05-16T16:47:06Z": -_FURTHEST_S,
    "292277025-08-18T07:12:54.999999999Z": _FURTHEST_S,
}


class Params:
    """Named values, several by name."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @classmethod
    async def of(cls, request: Request) -> Params:
        """Return the parameters of *request*, those of a form body first.

        Raises:
            PayloadTooLargeError: The body crosses ``request_body_bytes_max``.
            ClientDisconnect: The client left while sending.
        """
        pairs: list[tuple[str, str]] = []
        if request.method == "POST" and request.headers.get("content-type", "").startswith(_FORM):
            body = bytearray()
            most = limit("request_body_bytes_max")
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise PayloadTooLargeError(
                        f"form too large: got more than {most} bytes. Accepted: up to {most} "
                        "(request_body_bytes_max). Next: shorten the query."
                    )
            text = body.decode("utf-8", "replace")
            pairs += parse_qsl(text, keep_blank_values=True)
        return cls(pairs + list(request.query_params.multi_items()))

    def get(self, name: str) -> str:
        """Return the first value of *name*, empty if there is none."""
        return next((value for key, value in self._pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return every value of *name*."""
        return [value for key, value in self._pairs if key == name]

    def moment_ms(self, name: str) -> int | None:
        """Return a moment as Unix milliseconds, None if absent: Unix seconds or RFC 3339.

        Raises:
            QueryParseError: It is neither.
        """
        text = self.get(name)
        if not text:
            return None
        seconds = _seconds(text)
        if seconds is None:
            raise _bad(name, text, "Unix seconds, with a fraction if need be, or RFC 3339")
        return round(max(-_FURTHEST_S, min(_FURTHEST_S, seconds)) * 1000)

    def need_moment_ms(self, name: str) -> int:
        """Return a moment that must be given; see `moment_ms`.

        Raises:
            QueryParseError: It is absent or unreadable.
        """
        found = self.moment_ms(name)
        if found is None:
            raise _bad(name, "", "Unix seconds, with a fraction if need be, or RFC 3339")
        return found

    def duration_ms(self, name: str) -> int | None:
        """Return a duration in milliseconds, None if absent: seconds, or as in ``1h30m``.

        Raises:
            QueryParseError: It is neither, or not above zero.
        """
        text = self.get(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            found = parse_duration_ms(text)
        else:
            if not math.isfinite(seconds) or abs(seconds) > _FURTHEST_S:
                raise _bad(name, text, "a duration of seconds, or as in 1h30m")
            found = round(seconds * 1000)
        if found <= 0:
            raise _bad(name, text, "a duration above zero, of a millisecond or more")
        return found

    def need_duration_ms(self, name: str) -> int:
        """Return a duration that must be given; see `duration_ms`.

        Raises:
            QueryParseError: It is absent or unreadable.
        """
        found = self.duration_ms(name)
        if found is None:
            raise _bad(name, "", "seconds, or a duration as in 1h30m")
        return found

    def count(self, name: str) -> int:
        """Return a whole number from 0, which stands for "no limit" and for absence.

        Raises:
            QueryParseError: It is not a whole number, or negative.
        """
        text = self.get(name)
        if not text:
            return 0
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise _bad(name, text, "a whole number from 0")
        return int(text)

    def selectors(self) -> list[tuple[Matcher, ...]]:
        """Return the series selectors of ``match[]``.

        Raises:
            QueryParseError: One is not a series selector.
        """
        found: list[tuple[Matcher, ...]] = []
        for text in self.all("match[]"):
            node = unwrap(parse(text))
            if not isinstance(node, Selector):
                raise _bad("match[]", text, 'a series selector, as in up{job="api"}')
            found.append(node.matchers)
        return found


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None
    if text in _BOUNDARIES:
        return _BOUNDARIES[text]
    try:
        # Python reads at most microseconds.
        moment = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _bad(name: str, text: str, accepted: str) -> QueryParseError:
    return QueryParseError(
        f'invalid parameter "{name}": got {text[:100]!r}. Accepted: {accepted}. '
        "Next: correct the parameter."
    )


def unescaped_label(name: str) -> str:
    """Return a label name of a URL path, from its ``U__`` form if it has one.

    Prometheus 3 writes characters outside ``[a-zA-Z0-9_]`` as ``_<hex code point>_`` and an
    underscore as ``__``. A name that is not properly escaped is returned as it is.
    """
    if not name.startswith("U__"):
        return name
    body = name[3:]
    if not re.fullmatch(r"(?:[a-zA-Z0-9]|__|_[0-9a-fA-F]{1,6}_)*", body):
        return name
    try:
        return re.sub(
            r"__|_([0-9a-fA-F]{1,6})_",
            lambda found: chr(int(found[1], 16)) if found[1] else "_",
            body,
        )
    except ValueError:
        return name
