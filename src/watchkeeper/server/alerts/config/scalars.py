"""Single values of ``alertmanager.yml``: numbers, durations, addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.server.rules.loader import parse_duration_ms

__all__ = ["KINDS", "canonical_header", "typed"]

_TRUE = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"}
_FALSE = {"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"}
_INT = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_GO_DURATION = re.compile(r"([0-9]*\.?[0-9]*)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_GO_MS = {
    "ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6,
}  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_TLS = {"TLS10", "TLS11", "TLS12", "TLS13"}


def typed(text: str, *, plain: bool, null: bool) -> Any:
    """Return the boolean, number, None or text that a scalar of free content means."""
    if null:
        return None
    if not plain:
        return text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def canonical_header(name: str) -> str:
    """Return *name* as MIME headers are compared: ``x-my-id`` is ``X-My-Id``.

    A name that cannot be a header's is returned as it is.
    """
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _boolean(text: str) -> bool:
    if text not in _TRUE and text not in _FALSE:
        raise ValueError("not a boolean")
    return text in _TRUE


def _whole(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def _not_negative(text: str) -> int:
    value = _whole(text)
    if value < 0:
        raise ValueError("negative")
    return value


def _fraction(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    return float(text)


def _duration(text: str) -> int:
    try:
        return parse_duration_ms(text)
    except ValueError:
        raise ValueError("not a duration") from None


def _go_duration(text: str) -> int:
    """Return Go's form, ``1m30s`` or ``1.5h``, as whole milliseconds; bare numbers are nanoseconds."""
    if _INT.fullmatch(text):
        return int(text) // 1_000_000
    rest = text.removeprefix("-").removeprefix("+")
    total = 0.0
    while rest:
        match = _GO_DURATION.match(rest)
        if match is None or match[1] in {"", "."}:
            raise ValueError("not a duration")
        total += float(match[1]) * _GO_MS[match[2]]
        rest = rest[match.end() :]
    if not text.strip("+-") or total > 2**63 / 1e6:
        raise ValueError("not a duration")
    return int(-total if text.startswith("-") else total)


def _url(text: str) -> str:
    """Return *text* if it is an address of http or https; the error shows nothing of it."""
    if re.search(r"[\x00-\x20\x7f]", text.strip(" ")) or re.search(r"%(?![0-9a-fA-F]{2})", text):
        raise ValueError("is not an address: a character in it is not allowed")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("is not an address") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("is not an address of http or https")
    if not parts.netloc:
        raise ValueError("is an address without a host")
    return text


def _host_port(text: str) -> str:
    if not text:
        return ""
    match = re.fullmatch(r"(?:\[[^\[\]]*\]|[^:\[\]]*):([^:\[\]]*)", text)
    if match is None:
        raise ValueError("not a host and a port")
    if not match[1]:
        raise ValueError("the port is empty")
    return text


def _tls(text: str) -> str:
    if text not in _TLS:
        raise ValueError("not a version of TLS")
    return text


def _text(text: str) -> str:
    return text


KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "text": (_text, "a text"),
    "bool": (_boolean, "true or false, without quotes"),
    "int": (_whole, "a whole number, without quotes"),
    "uint": (_not_negative, "a whole number from 0, without quotes"),
    "float": (_fraction, "a number"),
    "duration": (_duration, "a duration such as 30s or 1h30m"),
    "go_duration": (_go_duration, "a duration such as 10s or 1m30s"),
    "url": (_url, "an address such as https://host/path"),
    "host_port": (_host_port, "host:port"),
    "tls_version": (_tls, ", ".join(sorted(_TLS))),
}
"""By kind, how it is read from its text, and what is accepted."""
