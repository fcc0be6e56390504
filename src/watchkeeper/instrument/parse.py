"""Parsers of settings: from an argument or a variable's text to a value.

Each returns the value or raises ValueError, whose message is what would be accepted.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from types import MappingProxyType
from typing import TextIO, cast
from urllib.parse import unquote, urlsplit

__all__ = [
    "at_least_one",
    "boolean",
    "endpoint",
    "exporters",
    "genai_content",
    "genai_opt_in",
    "levels",
    "log_level",
    "milliseconds",
    "names",
    "networks",
    "one_of",
    "otlp_endpoint",
    "pairs",
    "path",
    "paths",
    "patterns",
    "port",
    "positive",
    "prices",
    "rates",
    "ratio",
    "rotation",
    "signal_endpoint",
    "signal_name",
    "signal_otlp_endpoint",
    "stream",
    "text",
    "without_login",
    "words",
]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def text(given: object) -> str:
    """Accept a text, or a path, without control characters."""
    shown = str(given) if isinstance(given, str) or hasattr(given, "__fspath__") else None
    if shown is None or any(ord(letter) < 32 for letter in shown):
        raise ValueError("a text without control characters")
    return shown.strip()


def boolean(given: object) -> bool:
    """Accept a bool, or 1/0, true/false, yes/no, on/off."""
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("true or false (also 1/0, yes/no, on/off)")


def one_of(*words: str) -> Callable[[object], str]:
    """Return a parser that accepts one of *words* in any case."""

    def parser(given: object) -> str:
        word = str(given).strip().lower()
        if word not in words:
            raise ValueError(" or ".join(words))
        return word

    return parser


def log_level(given: object) -> str:
    """Accept a level's name in any case, or the standard library's number for it."""
    levels = {"10": "debug", "20": "info", "30": "warning", "40": "error", "50": "critical"}
    word = str(given).strip().lower()
    word = {"warn": "warning", "fatal": "critical"}.get(word, levels.get(word, word))
    if word not in levels.values():
        raise ValueError("debug, info, warning, error or critical")
    return word


def levels(given: object) -> Mapping[str, str]:
    """Accept a mapping of logger names to levels, nested by dots or not, or ``name=level,…``."""
    return MappingProxyType({name: log_level(level) for name, level in _by_name(given, "debug")})


def rates(given: object) -> Mapping[str, float]:
    """Accept a mapping of events to shares from 0 to 1, or ``event=share,…``."""
    return MappingProxyType({name: ratio(share) for name, share in _by_name(given, "0.1")})


def rotation(given: object) -> int:
    """Accept ``hourly``, ``daily`` or a number of seconds; returns seconds, 0 for an empty text."""
    word = str(given).strip().lower()
    seconds = {"": 0, "hourly": 3_600, "daily": 86_400}.get(word)
    if seconds is not None:
        return seconds
    number = _number(given)
    if number is None or number < 0 or number != int(number):
        raise ValueError("hourly, daily, or a whole number of seconds")
    return int(number)


def signal_name(given: object) -> str:
    """Accept the name of a signal of this system, with or without SIG; empty means none."""
    word = str(given).strip().upper()
    name = word if not word or word.startswith("SIG") else f"SIG{word}"
    if name in {"SIGKILL", "SIGSTOP", "SIGINT", "SIGTERM"} or (
        name and name not in signal.Signals.__members__
    ):
        raise ValueError("a signal that may be handled, such as SIGUSR2")
    return name


def endpoint(given: object) -> str:
    """Accept an http(s) URL without user or password, or an empty text; drop a closing slash."""
    url = text(given).rstrip("/")
    if not url:
        return ""
    form = (
        "a URL such as http://127.0.0.1:4318, without user or password (credentials are headers), "
        "or an empty text"
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError(form)
    if port == 0:
        raise ValueError(form)
    return url


def without_login(url: str) -> str:
    """Return a URL, well-formed or not, without what may be a login, or a token in its query."""
    start, slashes, rest = url.partition("//") if "//" in url else ("", "", url)
    _, at, host = rest.rpartition("@")
    shown, mark, _ = host.partition("?")
    return f"{start}{slashes}{at and '[secret]@'}{shown}{mark and '?…'}"


def otlp_endpoint(given: object) -> str:
    """Accept what OpenTelemetry's variable may hold: a URL, or ``host:port`` for gRPC."""
    target = text(given)
    if re.fullmatch(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", target):
        return target
    return endpoint(given)


def signal_endpoint(given: object) -> str:
    """Accept an http(s) URL that is used as it is, or an empty text."""
    url = text(given)
    endpoint(url)
    return url


def signal_otlp_endpoint(given: object) -> str:
    """Accept an http(s) URL that is used as it is, or ``host:port`` for gRPC."""
    target = text(given)
    otlp_endpoint(target)
    return target


def exporters(given: object) -> tuple[str, ...]:
    """Accept ``otlp``, ``console`` or both, or ``none``; as a text or a sequence."""
    items = given.split(",") if isinstance(given, str) else given
    if isinstance(items, Sequence):
        words = tuple(dict.fromkeys(str(item).strip().lower() for item in items))
        if words == ("none",):
            return ()
        if words and set(words) <= {"otlp", "console"}:
            return words
    raise ValueError("otlp, console, otlp,console or none")


def milliseconds(given: object) -> float:
    """Accept a number of milliseconds above 0; return seconds."""
    number = _number(given)
    if number is None or not 0.0 < number < 1e12:
        raise ValueError("a number of milliseconds above 0")
    return number / 1_000.0


def pairs(given: object) -> Mapping[str, str]:
    """Accept a mapping, or ``name=value,…`` with percent-encoded values (W3C Baggage)."""
    found: dict[str, str] = {}
    if isinstance(given, Mapping):
        found = {str(name): str(value) for name, value in given.items()}
    else:
        for item in str(given).split(","):
            name, equals, value = item.partition("=")
            if item.strip():
                if not equals:
                    raise ValueError("name=value pairs separated by commas")
                found[unquote(name.strip())] = unquote(value.strip())
    for name, value in found.items():
        if not _HEADER_NAME.fullmatch(name) or any(ord(letter) < 32 for letter in value):
            raise ValueError("names of letters, digits and -_.; values without control characters")
    return MappingProxyType(found)


def ratio(given: object) -> float:
    """Accept a number from 0 to 1."""
    number = _number(given)
    if number is None or not 0.0 <= number <= 1.0:
        raise ValueError("a number from 0 to 1")
    return number


def positive(given: object) -> float:
    """Accept a finite number above 0."""
    number = _number(given)
    if number is None or not 0.0 < number < 1e9:
        raise ValueError("a number above 0")
    return number


def at_least_one(given: object) -> int:
    """Accept a whole number from 1."""
    number = _number(given)
    if number is None or number < 1 or number != int(number):
        raise ValueError("a whole number from 1")
    return int(number)


def port(given: object) -> int:
    """Accept a port number; 0 asks for a free one."""
    number = _number(given)
    if number is None or not 0 <= number <= 65_535 or number != int(number):
        raise ValueError("a port from 0 to 65535")
    return int(number)


def path(given: object) -> str:
    """Accept a URL path that begins with a slash."""
    shown = text(given)
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", shown):
        raise ValueError("a path such as /metrics")
    return shown


def names(given: object) -> str | tuple[str, ...]:
    """Accept ``auto``, names separated by commas, or a sequence of names; ``none`` means none."""
    if isinstance(given, str):
        word = given.strip().lower()
        if word == "auto":
            return "auto"
        items = [] if word == "none" else [part.strip() for part in word.split(",")]
    elif isinstance(given, Sequence):
        items = [str(part).strip().lower() for part in given]
    else:
        items = [""]
    if not all(re.fullmatch(r"[a-z0-9_.-]+", item) for item in items):
        raise ValueError("auto, none, or names such as fastapi,sqlalchemy")
    return tuple(items)


def paths(given: object) -> tuple[str, ...]:
    """Accept URL paths, as a sequence or separated by commas."""
    items = given.split(",") if isinstance(given, str) else given
    if not isinstance(items, Sequence):
        raise ValueError("paths such as /healthz,/readyz")  # noqa: TRY004 - one error for all
    return tuple(path(item) for item in items if str(item).strip())


def words(given: object) -> tuple[str, ...]:
    """Accept words, as a sequence or separated by commas."""
    items = given.split(",") if isinstance(given, str) else given
    if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
        raise ValueError("words separated by commas")
    return tuple(item.strip() for item in items if item.strip())


def patterns(given: object) -> Mapping[str, str]:
    """Accept a mapping of texts to texts, or the same as a JSON object."""
    form = 'patterns by kind, such as {"order": "ORD-[0-9]{8}"}'
    try:
        found = given if isinstance(given, Mapping) else json.loads(str(given))
    except ValueError:
        raise ValueError(form) from None
    if not isinstance(found, Mapping) or not all(
        isinstance(part, str) for pair in found.items() for part in pair
    ):
        raise ValueError(form)
    return MappingProxyType(dict(found))


def genai_content(given: object) -> bool:
    """Accept a bool, or the words of OpenTelemetry's variable: content goes on spans and events."""
    word = str(given).strip().lower()
    if word in {"span_only", "event_only", "span_and_event"}:
        return True
    return False if word == "no_content" else boolean(given)


def genai_opt_in(given: object) -> bool:
    """Accept a bool, or the list of OpenTelemetry's variable, which may name other signals."""
    words = {word.strip() for word in str(given).split(",")}
    if "gen_ai_latest_experimental" in words:
        return True
    if any(word.startswith(("http", "database", "gen_ai", "messaging", "rpc")) for word in words):
        return False
    return boolean(given)


def prices(given: object) -> Mapping[str, tuple[float, float, float, float]]:
    """Accept a mapping, or its JSON, of models to their prices per million tokens."""
    form = 'models to prices: {"my-model": {"input": 1.5, "output": 6, "cache_read": 0.4}}'
    try:
        table = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        raise ValueError(form) from None
    if not isinstance(table, Mapping):
        raise ValueError(form)  # noqa: TRY004 - one error for all
    return MappingProxyType({str(model): _rates(rates, form) for model, rates in table.items()})


def _rates(given: object, form: str) -> tuple[float, float, float, float]:
    known = {"input", "output", "cache_read", "cache_creation"}
    if not isinstance(given, Mapping) or not given.keys() <= known or "input" not in given:
        raise ValueError(form)
    found = {name: _number(rate) for name, rate in given.items()}
    if any(rate is None or rate < 0 for rate in found.values()):
        raise ValueError(form)
    plain = found["input"] or 0.0
    return (
        plain,
        found.get("output") or 0.0,
        # Without a price of their own, cached tokens cost what others cost.
        plain if found.get("cache_read") is None else found["cache_read"] or 0.0,
        plain if found.get("cache_creation") is None else found["cache_creation"] or 0.0,
    )


def networks(given: object) -> tuple[str, ...]:
    """Accept IP networks or addresses, as a sequence or separated by commas."""
    items = given.split(",") if isinstance(given, str) else given
    if not isinstance(items, Sequence):
        raise ValueError("networks such as 10.0.0.0/8,::1")  # noqa: TRY004 - one error for all
    try:
        return tuple(str(ip_network(str(item).strip())) for item in items if str(item).strip())
    except ValueError as error:
        raise ValueError(f"networks such as 10.0.0.0/8,::1 ({error})") from error


def stream(given: object) -> TextIO:
    """Accept an object that text can be written to."""
    if not callable(getattr(given, "write", None)):
        raise ValueError("a text stream with a write method")  # noqa: TRY004 - one error for all
    return cast("TextIO", given)


def _by_name(given: object, example: str) -> list[tuple[str, object]]:
    """Return pairs of a dotted name and a value; TOML reads unquoted dots as nested tables."""
    found: list[tuple[str, object]] = []
    if isinstance(given, Mapping):
        for name, value in given.items():
            if isinstance(value, Mapping):
                found += [(f"{name}.{rest}", inner) for rest, inner in _by_name(value, example)]
            else:
                found.append((str(name).strip(), value))
        return found
    for item in str(given).split(","):
        name, equals, value = item.rpartition("=")
        if item.strip():
            if not equals or not name.strip():
                raise ValueError(f"name={example} pairs separated by commas")
            found.append((name.strip(), value.strip()))
    return found


def _number(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e18 else None
