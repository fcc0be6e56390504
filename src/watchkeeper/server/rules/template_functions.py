"""The functions of Prometheus' template language, and Go's way of printing values.

Sources: Prometheus documentation, "Template reference"; Go's packages text/template and fmt.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from urllib.parse import quote_plus, urlsplit

import re2

__all__ = ["FUNCTIONS", "Context", "FunctionError", "QuerySample", "go_text", "truth"]


class FunctionError(ValueError):
    """A function cannot take what it was given."""


@dataclass(frozen=True, slots=True)
class QuerySample:
    """One element of what the template function ``query`` returns."""

    labels: Mapping[str, str]
    value: float


class Context(Protocol):
    """What functions may ask for."""

    @property
    def external_url(self) -> str:
        """Address under which people reach the server."""
        ...

    def query(self, expr: str) -> list[QuerySample]:
        """Return the result of the instant query *expr*."""
        ...


def go_float(value: float) -> str:
    """Return *value* as Go's ``%v`` prints a float64: shortest digits, exponent from 1e+06."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    exponent = len(text) + int(power) - 1
    lead = "-" if sign else ""
    if exponent < -4 or exponent >= 6:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{lead}{text[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return lead + format(abs(Decimal(repr(value)).normalize()), "f")


def go_text(value: object) -> str:
    """Return *value* as a Go template prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, Mapping):
        inner = " ".join(f"{name}:{go_text(item)}" for name, item in sorted(value.items()))
        return f"map[{inner}]"
    if isinstance(value, QuerySample):
        return f"{{{go_text(value.labels)} {go_float(value.value)}}}"
    if isinstance(value, list):
        return f"[{' '.join(go_text(item) for item in value)}]"
    return str(value)


def truth(value: object) -> bool:
    """Return whether *value* counts as true in ``if``: not zero, empty or nil."""
    return value is not None and value != 0 and value not in ("", False, {}, [])


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise FunctionError(f"can't convert {value!r} to a number") from None
    raise FunctionError(f"can't convert {go_text(value)!r} to a number")


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise FunctionError(f"wants a string, got {go_text(value)!r}")
    return value


def _vector(value: object) -> list[QuerySample]:
    if not isinstance(value, list):
        raise FunctionError(f"wants the result of a query, got {go_text(value)!r}")
    return value


def _sample(value: object) -> QuerySample:
    if not isinstance(value, QuerySample):
        raise FunctionError(f"wants a sample, got {go_text(value)!r}")
    return value


def _short(value: float) -> str:
    if not math.isfinite(value):
        return go_float(value)
    return f"{value:.4g}"


def _scaled(value: float, up: str, down: str, step: float) -> str:
    """Return *value* with a prefix of *up* when large, of *down* when small."""
    prefix = ""
    if abs(value) >= 1:
        for prefix_next in up.split():
            if abs(value) < step:
                break
            prefix, value = prefix_next, value / step
    else:
        for prefix_next in down.split():
            if abs(value) >= 1:
                break
            prefix, value = prefix_next, value * step
    return f"{value:.4g}{prefix}"


def _humanize(_: Context, given: object) -> str:
    value = _number(given)
    if value == 0 or not math.isfinite(value):
        return _short(value)
    return _scaled(value, "k M G T P E Z Y", "m u n p f a z y", 1000.0)


def _humanize1024(_: Context, given: object) -> str:
    value = _number(given)
    if abs(value) <= 1 or not math.isfinite(value):
        return _short(value)
    return _scaled(value, "ki Mi Gi Ti Pi Ei Zi Yi", "", 1024.0)


def _humanize_duration(_: Context, given: object) -> str:
    value = _number(given)
    if not math.isfinite(value):
        return _short(value)
    if value == 0:
        return f"{value:.4g}s"
    if abs(value) < 1:
        return _scaled(value, "", "m u n p f a z y", 1000.0) + "s"
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{value:.4g}s"


def _humanize_percentage(_: Context, given: object) -> str:
    return f"{_short(_number(given) * 100)}%"


def _humanize_timestamp(_: Context, given: object) -> str:
    value = _number(given)
    if not math.isfinite(value):
        return _short(value)
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(value * 1000))
    except OverflowError:
        raise FunctionError(f"{value:g} is beyond the calendar") from None
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
    if moment.microsecond:
        text += f".{moment.microsecond:06d}".rstrip("0")
    return f"{text} +0000 UTC"


def _title(_: Context, given: object) -> str:
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].upper(), _word(given))


def _split_port(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([^:]*)", text)
    return None if match is None else (match[1] if match[1] is not None else match[2], match[3])


def _strip_port(_: Context, given: object) -> str:
    text = _word(given)
    parts = _split_port(text)
    return text if parts is None else parts[0]


def _strip_domain(_: Context, given: object) -> str:
    text = _word(given)
    parts = _split_port(text)
    host, port = parts or (text, "")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = host.split(".")[0]
        return f"{host}:{port}" if port else host
    return text


def _compiled(pattern: object) -> re2._Regexp[str]:
    try:
        return re2.compile(_word(pattern))
    except re2.error as error:
        raise FunctionError(f"bad regular expression: {error}") from None


def _match(_: Context, pattern: object, text: object) -> bool:
    return _compiled(pattern).search(_word(text)) is not None


def _replace(_: Context, pattern: object, new: object, text: object) -> str:
    compiled, form = _compiled(pattern), _word(new)

    def filled(match: re.Match[str]) -> str:
        def group(part: re.Match[str]) -> str:
            name = part[1] or part[2] or ""
            if part[0] == "$$":
                return "$"
            known = name in compiled.groupindex or (name.isdigit() and int(name) <= compiled.groups)
            return (match[int(name) if name.isdigit() else name] or "") if known else ""

        return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", group, form)

    return str(compiled.sub(filled, _word(text)))


def _query(context: Context, expr: object) -> list[QuerySample]:
    return context.query(_word(expr))


def _first(_: Context, vector: object) -> QuerySample:
    samples = _vector(vector)
    if not samples:
        raise FunctionError("first() called on vector with no elements")
    return samples[0]


def _sort_by_label(_: Context, name: object, vector: object) -> list[QuerySample]:
    return sorted(_vector(vector), key=lambda sample: sample.labels.get(_word(name), ""))


def _link(tab: int) -> Callable[[Context, object], str]:
    return lambda _, expr: f"/graph?g0.expr={quote_plus(_word(expr))}&g0.tab={tab}"


def _to_seconds(_: Context, given: object) -> float:
    match = re.fullmatch(
        r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?",
        _word(given),
        re.ASCII,
    )
    if match is None or not given:
        raise FunctionError(f"not a duration: {given!r}")
    factors = (31_536_000, 604_800, 86_400, 3_600, 60, 1, 0.001)
    return float(sum(int(n) * f for n, f in zip(match.groups(), factors, strict=True) if n))


def _args(_: Context, *given: object) -> dict[str, object]:
    return {f"arg{position}": value for position, value in enumerate(given)}


def _equal(_: Context, first: object, *others: object) -> bool:
    if not others:
        raise FunctionError("eq wants two arguments")
    return any(first == other and _comparable(first, other) for other in others)


def _comparable(first: object, other: object) -> bool:
    numbers = (int, float)
    if isinstance(first, str) != isinstance(other, str) or (
        isinstance(first, numbers) != isinstance(other, numbers)
    ):
        raise FunctionError("incompatible types for comparison")
    return True


def _less(first: object, second: object) -> bool:
    _comparable(first, second)
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    return _number(first) < _number(second)


def _index(_: Context, value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(_word(key), "")
        elif isinstance(value, Sequence) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise FunctionError(f"no element {go_text(key)!r}")
    return value


def _length(_: Context, value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (list, Mapping)):
        return len(value)
    raise FunctionError(f"len of {go_text(value)!r}")


def _and(_: Context, *given: object) -> object:
    return next((value for value in given if not truth(value)), given[-1])


def _or(_: Context, *given: object) -> object:
    return next((value for value in given if truth(value)), given[-1])


_VERB = re.compile(r"%([-+# 0]*)(\d{1,3})?(?:\.(\d{1,3}))?([a-zA-Z%])")


def _printf(_: Context, form: object, *given: object) -> str:
    left = list(given)

    def filled(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        return _verb(verb, left.pop(0), flags, width or "", precision)

    text = _VERB.sub(filled, _word(form))
    if left:
        extra = ", ".join(f"{_go_type(value)}={go_text(value)}" for value in left)
        text += f"%!(EXTRA {extra})"
    return text


def _go_type(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string"}
    return names.get(type(value), "interface {}")


def _verb(verb: str, value: object, flags: str, width: str, precision: str | None) -> str:
    dot = "" if precision is None else f".{precision}"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if verb in "eEfFgG" and isinstance(value, float):
        if not math.isfinite(value):
            return go_float(value).rjust(int(width or 0))
        if verb in "gG" and precision is None:
            return format(go_float(value), f">{width}" if width else "")
        return f"%{flags}{width}{dot}{verb}" % value
    if verb in "dxXob" and isinstance(value, int) and number:
        if verb == "b":
            return format(value, f"{width}b")
        return f"%{flags}{width}{verb}" % value
    if verb == "v" or (verb == "s" and not number) or (verb == "t" and isinstance(value, bool)):
        return f"%{flags.replace('+', '').replace('0', '')}{width}{dot}s" % go_text(value)
    if verb == "q" and isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return f"%!{verb}({_go_type(value)}={go_text(value)})"


def _print(_: Context, *given: object) -> str:
    text = ""
    for position, value in enumerate(given):
        between = (
            position and not isinstance(value, str) and not isinstance(given[position - 1], str)
        )
        text += (" " if between else "") + go_text(value)
    return text


def _html(_: Context, *given: object) -> str:
    escapes = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
    return re.sub(r"[&<>\"']", lambda match: escapes[match[0]], "".join(map(go_text, given)))


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "and": _and,
    "args": _args,
    "eq": _equal,
    "externalURL": lambda context: context.external_url,
    "first": _first,
    "ge": lambda _, a, b: not _less(a, b),
    "graphLink": _link(0),
    "gt": lambda _, a, b: _less(b, a),
    "html": _html,
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": _humanize_percentage,
    "humanizeTimestamp": _humanize_timestamp,
    "index": _index,
    "label": lambda _, name, sample: _sample(sample).labels.get(_word(name), ""),
    "le": lambda _, a, b: not _less(b, a),
    "len": _length,
    "lt": lambda _, a, b: _less(a, b),
    "match": _match,
    "ne": lambda _, a, b: not (_comparable(a, b) and a == b),
    "not": lambda _, a: not truth(a),
    "or": _or,
    "parseDuration": _to_seconds,
    "pathPrefix": lambda context: urlsplit(context.external_url).path,
    "print": _print,
    "printf": _printf,
    "println": lambda _, *given: " ".join(map(go_text, given)) + "\n",
    "query": _query,
    "reReplaceAll": _replace,
    "safeHtml": lambda _, text: _word(text),
    "sortByLabel": _sort_by_label,
    "stripDomain": _strip_domain,
    "stripPort": _strip_port,
    "strvalue": lambda _, sample: _sample(sample).labels.get("__value__", ""),
    "tableLink": _link(1),
    "title": _title,
    "toLower": lambda _, text: _word(text).lower(),
    "toUpper": lambda _, text: _word(text).upper(),
    "urlquery": lambda _, *given: quote_plus("".join(map(go_text, given))),
    "value": lambda _, sample: _sample(sample).value,
}
"""Every function by name; the first argument is always the context."""
