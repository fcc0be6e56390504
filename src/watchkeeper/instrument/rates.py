"""What models cost, in the form in which calls are charged."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["DAY_NS", "Condition", "Rates", "Tiers", "Varying"]

DAY_NS = 86_400_000_000_000


class Rates(NamedTuple):
    """Prices of a token of each kind and of a call, in units of which `per` are one US dollar.

    From the table they are whole numbers: sums of them are exact, and the division rounds once.
    """

    input: float
    output: float
    cache_read: float
    cache_creation: float
    call: float = 0
    per: float = 1


Condition = tuple[int, int, int]
"""The first day since the epoch, and the nanoseconds of the day from and until which a price holds;
the end may lie before the start, and then on the next day."""
Tiers = tuple[tuple[int, Rates], ...]
"""Rates by the number of input tokens above which they apply, the highest first."""


class Varying(NamedTuple):
    """Rates that depend on the time or on the length of the input."""

    choices: tuple[tuple[Condition | None, Tiers], ...]
    """The first whose condition holds is in force; the last has none."""

    def of(self, input_tokens: float, now_ns: Callable[[], int]) -> Rates:
        """Return the rates of a call.

        Args:
            input_tokens: The length of its input.
            now_ns: Returns nanoseconds since the epoch; only asked if the time matters.
        """
        tiers: Tiers = ()
        for condition, tiers in self.choices:  # noqa: B007 - the one that it stopped at
            if condition is None or _holds(condition, now_ns()):
                break
        for above, rates in tiers:
            if input_tokens > above:
                return rates
        return tiers[-1][1]


def _holds(condition: Condition, now_ns: int) -> bool:
    first_day, start, end = condition
    day, of_day = divmod(now_ns, DAY_NS)
    if end < start:
        return day >= first_day and (of_day >= start or of_day < end)
    return day >= first_day and start <= of_day < end
