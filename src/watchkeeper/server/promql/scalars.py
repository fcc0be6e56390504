"""Functions of single values: mathematics, time and conversions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from watchkeeper.server.promql.context import Context, Function, scalar, vector
from watchkeeper.server.promql.values import Bools, Floats, Scalar, Value, Vector

__all__ = ["SCALARS"]

Moments = NDArray[np.datetime64]


def _each(function: Callable[[Floats], Floats]) -> Function:
    """Lift a function of numbers to vectors."""

    def lifted(_context: Context, args: list[Value]) -> Vector:
        found = vector(args[0])
        with np.errstate(all="ignore"):
            return found.map(function(found.values))

    return lifted


def _clamp(_context: Context, args: list[Value]) -> Vector:
    found, low, high = vector(args[0]), scalar(args[1]).values, scalar(args[2]).values
    result = np.maximum(low[None, :], np.minimum(high[None, :], found.values))
    return found.map(result).where(np.broadcast_to(~(high < low), result.shape))


def _clamp_min(_context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    return found.map(np.maximum(found.values, scalar(args[1]).values[None, :]))


def _clamp_max(_context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    return found.map(np.minimum(found.values, scalar(args[1]).values[None, :]))


def _round(_context: Context, args: list[Value]) -> Vector:
    found = vector(args[0])
    nearest = scalar(args[1]).values[None, :] if len(args) > 1 else np.ones((1, 1))
    with np.errstate(all="ignore"):
        inverse = 1.0 / nearest
        return found.map(np.floor(found.values * inverse + 0.5) / inverse)


def _vector(context: Context, args: list[Value]) -> Vector:
    return _one_series(context, scalar(args[0]).values)


def _one_series(context: Context, values: Floats) -> Vector:
    shape = (1, len(context.times))
    return Vector(
        [()], values.reshape(shape).copy(), np.ones(shape, np.bool_), np.zeros(1, np.bool_)
    )


def _scalar(_context: Context, args: list[Value]) -> Scalar:
    found = vector(args[0])
    counts = found.present.sum(axis=0)
    values = np.where(found.present, found.values, 0.0)
    with np.errstate(all="ignore"):
        return Scalar(np.where(counts == 1, values.sum(axis=0), np.nan))


def _time(context: Context, _args: list[Value]) -> Scalar:
    return Scalar(context.times / 1000)


def _pi(context: Context, _args: list[Value]) -> Scalar:
    return Scalar(np.full(len(context.times), np.pi))


def _calendar(
    part: Callable[[Moments], Floats],
) -> Function:
    """Lift a function of moments to vectors of Unix seconds; without argument, of the step."""

    def lifted(context: Context, args: list[Value]) -> Vector:
        found = vector(args[0]) if args else _one_series(context, context.times / 1000)
        # Years beyond the calendar's range have no parts; so have NaN and infinities.
        with np.errstate(all="ignore"):
            known: Bools = np.abs(found.values) < 2.0**55
        whole = np.where(known, np.trunc(found.values), 0.0).astype("datetime64[s]")
        return found.map(np.where(known, part(whole), np.nan))

    return lifted


def _day_of_month(moments: Moments) -> Floats:
    days = moments.astype("datetime64[D]")
    result: Floats = (days - moments.astype("datetime64[M]")).astype(np.float64) + 1
    return result


def _day_of_year(moments: Moments) -> Floats:
    days = moments.astype("datetime64[D]")
    result: Floats = (days - moments.astype("datetime64[Y]")).astype(np.float64) + 1
    return result


def _days_in_month(moments: Moments) -> Floats:
    months = moments.astype("datetime64[M]")
    following = (months + 1).astype("datetime64[D]")
    result: Floats = (following - months.astype("datetime64[D]")).astype(np.float64)
    return result


SCALARS: dict[str, Function] = {
    "abs": _each(np.abs),
    "ceil": _each(np.ceil),
    "floor": _each(np.floor),
    "exp": _each(np.exp),
    "sqrt": _each(np.sqrt),
    "ln": _each(np.log),
    "log2": _each(np.log2),
    "log10": _each(np.log10),
    "sgn": _each(np.sign),
    "sin": _each(np.sin),
    "cos": _each(np.cos),
    "tan": _each(np.tan),
    "asin": _each(np.arcsin),
    "acos": _each(np.arccos),
    "atan": _each(np.arctan),
    "sinh": _each(np.sinh),
    "cosh": _each(np.cosh),
    "tanh": _each(np.tanh),
    "asinh": _each(np.arcsinh),
    "acosh": _each(np.arccosh),
    "atanh": _each(np.arctanh),
    "deg": _each(lambda values: values * 180 / np.pi),
    "rad": _each(lambda values: values * np.pi / 180),
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "round": _round,
    "vector": _vector,
    "scalar": _scalar,
    "time": _time,
    "pi": _pi,
    "minute": _calendar(lambda m: (m.astype(np.int64) // 60 % 60).astype(np.float64)),
    "hour": _calendar(lambda m: (m.astype(np.int64) // 3600 % 24).astype(np.float64)),
    # The epoch was a Thursday, day 4 of a week that starts on Sunday.
    "day_of_week": _calendar(lambda m: ((m.astype(np.int64) // 86_400 + 4) % 7).astype(np.float64)),
    "day_of_month": _calendar(_day_of_month),
    "day_of_year": _calendar(_day_of_year),
    "days_in_month": _calendar(_days_in_month),
    "month": _calendar(
        lambda m: (m.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64) + 1
    ),
    "year": _calendar(
        lambda m: m.astype("datetime64[Y]").astype(np.int64).astype(np.float64) + 1970
    ),
}
