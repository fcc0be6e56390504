"""The notation of series in unit tests: a metric with labels, and runs of values.

Source: Prometheus documentation, "Unit testing for rules", field ``values``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import QueryParseError
from watchkeeper.server.promql.scan import string_literal
from watchkeeper.server.series import STALE_NAN, Labels, sorted_labels
from watchkeeper.vocabulary.limits import limit

__all__ = ["NotationError", "Values", "metric", "values"]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_SPACE = re.compile(r"\s*")
_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = rf"(?:{_DIGITS}|(?i:inf|nan)(?![a-zA-Z0-9_:]))"
_HISTOGRAM = r"\{\{[^{}]*\}\}"
_WORD = re.compile(rf"(?:{_HISTOGRAM}|\S)+")
_ITEM = re.compile(
    rf"_(?:x(?P<gaps>[0-9]+))?"
    rf"|(?P<stale>stale)"
    rf"|(?P<histogram>{_HISTOGRAM})(?:[+-]{_HISTOGRAM})?(?:x(?P<histograms>[0-9]+))?"
    rf"|(?P<first>[+-]?{_NUMBER})(?:(?P<step>[+-]{_NUMBER})?x(?P<times>[0-9]+))?"
)


class NotationError(ValueError):
    """A text is not in the notation; the message says where."""


class Values(NamedTuple):
    """The values of one series; positions count intervals from the start."""

    positions: NDArray[np.int64]
    numbers: NDArray[np.float64]
    """Same length; staleness markers among them."""
    histograms: tuple[int, ...] = ()
    """Positions of native histograms, which this engine refuses to read."""


def metric(text: str) -> Labels:
    """Return the labels of a metric such as ``up{job="api"}``; none for an empty text.

    Raises:
        NotationError: The text is not a metric.
    """
    found: dict[str, str] = {}
    at = _skip(text, 0)
    name = _METRIC.match(text, at)
    if name:
        found["__name__"], at = name.group(), _skip(text, name.end())
    if text[at : at + 1] == "{":
        at = _skip(text, _pairs(text, _skip(text, at + 1), found) + 1)
    if at < len(text):
        raise NotationError(f"unexpected {text[at : at + 20]!r} at offset {at}")
    return sorted_labels(found)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _pairs(text: str, at: int, found: dict[str, str]) -> int:
    """Read ``label="value"`` pairs into *found*; return the offset of the closing brace."""
    while text[at : at + 1] != "}":
        quoted = text[at : at + 1] in {'"', "'", "`"}
        name, at = _quoted(text, at) if quoted else _label(text, at)
        at = _skip(text, at)
        if text[at : at + 1] == "=":
            value, at = _quoted(text, _skip(text, at + 1))
        elif quoted:
            name, value = "__name__", name
        else:
            raise NotationError(f"= is missing at offset {at}")
        if name in found:
            raise NotationError(f"the label {name[:80]!r} is given twice")
        found[name] = value
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "}":
            raise NotationError(f"a comma or the closing brace is missing at offset {at}")
    return at


def _label(text: str, at: int) -> tuple[str, int]:
    match = _LABEL.match(text, at)
    if match is None:
        raise NotationError(f"a label's name or the closing brace is missing at offset {at}")
    return match.group(), match.end()


def _quoted(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] not in {'"', "'", "`"}:
        raise NotationError(f"a quoted text is missing at offset {at}")
    try:
        written, meaning = string_literal(text, at)
    except QueryParseError:
        raise NotationError(f"the quoted text at offset {at} is not closed, or bad") from None
    return meaning, at + len(written)


def values(text: str) -> Values:
    """Return the values that *text* spells.

    ``a+bxn`` and ``a-bxn`` are n + 1 values with b between them, ``axn`` n + 1 equal ones, ``_`` no
    sample, ``_xn`` none n times, ``stale`` a staleness marker.

    Raises:
        NotationError: An item is not in the notation, or there are more values than
            ``rule_test_samples_max``.
    """
    numbers: list[NDArray[np.float64]] = []
    positions: list[NDArray[np.int64]] = []
    histograms: list[int] = []
    most, at = limit("rule_test_samples_max"), 0
    for item in _WORD.findall(text):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise NotationError(f"{item[:40]!r} is not a value")
        count = _count(match)
        if at + count > most:
            raise NotationError(f"there are more than {most} values")
        if match["histogram"]:
            histograms.extend(range(at, at + count))
        elif match["first"] or match["stale"]:
            numbers.append(_run(match, count))
            positions.append(np.arange(at, at + count, dtype=np.int64))
        at += count
    return Values(
        np.concatenate([np.zeros(0, np.int64), *positions]),
        np.concatenate([np.zeros(0, np.float64), *numbers]),
        tuple(histograms),
    )


def _count(match: re.Match[str]) -> int:
    if match["gaps"]:
        return int(match["gaps"])
    return int(match["times"] or match["histograms"] or 0) + 1


def _run(match: re.Match[str], count: int) -> NDArray[np.float64]:
    if match["stale"]:
        return np.full(1, STALE_NAN)
    run = np.full(count, float(match["step"] or 0))
    run[0] = float(match["first"])
    # Added one after the other, as Prometheus does, so that fractions round the same way.
    return np.add.accumulate(run)
