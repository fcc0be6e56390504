"""The table of genai-prices, read from its source text: kilobytes that stay instead of megabytes.

Importing the package takes half a second and more than 10 MB for as long as the process lives, while
an application needs the prices of a few models. So its table is read and not imported: at once what
providers are called, and of each provider that is used the patterns and rates of its models. The text
is evaluated model by model, which is over in a moment, with stand-ins for the package's classes that
return tuples. What they do not know raises `Unreadable`, and the caller then asks the package itself.

How a model is found and which of its prices is in force are the rules of genai-prices 0.2; the tests
compare the answers for every model of the installed table.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from math import gcd, lcm
from pathlib import Path
from typing import Any

from watchkeeper.instrument.rates import DAY_NS, Condition, Rates, Tiers, Varying

__all__ = ["PriceTable", "Unreadable"]

_SERIES = "0.2."
"""The versions whose rules these are; prices change within a series, rules do not."""
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")
_COLUMNS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "requests")
"""What is counted here, in the order of the fields of `Rates`."""

_Match = tuple[str, Any]
"""How a pattern compares, and with which text or patterns."""
_Model = tuple[_Match, Rates | Varying | None]
_Provider = tuple[str, _Match | None, _Match | None, tuple[str, ...]]
"""Id, patterns of its models and of its other names, and ids of those whose models it offers too."""
_Ratio = tuple[int, int]
"""A price: a whole number over another. The module of decimals is a megabyte to import."""
_Price = list[tuple[int, _Ratio]]
"""Prices by the number of input tokens above which they apply, the highest first; last the base."""


class Unreadable(Exception):  # noqa: N818 - nothing went wrong: there is another way to ask
    """The table is not there as text, or says something that is not understood here."""


class PriceTable:
    """Finds what models cost. Safe from any thread without a lock: what is read twice is the same.

    Args:
        now_ns: Returns nanoseconds since the epoch.
        pause: Called between the parts that are read, each of which takes a tenth of a millisecond.

    Raises:
        Unreadable: See there; `find` raises it too.
    """

    def __init__(self, now_ns: Callable[[], int], pause: Callable[[], object]) -> None:
        self._now_ns = now_ns
        self._pause = pause
        self._folder = _folder()
        self._charged = _charged(b"".join(self._lines("data_units.py")))
        self._providers = tuple(_provider(head) for head in _heads(self._lines("data.py")))
        if not self._providers:
            raise Unreadable("there are no providers")
        self._models: dict[str, tuple[_Model, ...]] = {}

    def find(self, provider: str | None, model: str) -> Rates | Varying | None:
        """Return what a model costs, or None if it is not known.

        Args:
            provider: Id of its provider or a name that the table knows it by; None goes by the model.
            model: Its name, as it was asked for or as the answer has it.
        """
        model = model.lower()
        proxied = provider is not None and provider.lower() == "litellm"
        if proxied:
            named, slash, rest = model.partition("/")
            if named and slash and self._by_name(named) is not None:
                provider, model, proxied = named, rest, False
        found = None if provider is None else self._by_name(provider)
        if found is None and (provider is None or proxied):
            found = self._by_model(model)
        if found is None:
            return None
        match = self._match(found, model)
        if match is None:
            dashed = _COMPACT_DATE.sub(_dashed, model)
            match = self._match(found, dashed) if dashed != model else None
        return None if match is None else match[1]

    def _by_name(self, name: str) -> _Provider | None:
        name = name.lower().strip()
        for provider in self._providers:
            if provider[0] == name:
                return provider
        for provider in self._providers:
            if provider[2] is not None and _is_match(provider[2], name):
                return provider
        return None

    def _by_model(self, model: str) -> _Provider | None:
        for provider in self._providers:
            if model and provider[1] is not None and _is_match(provider[1], model):
                return provider
        return None

    def _match(self, provider: _Provider, model: str) -> _Model | None:
        for name in (provider[0], *provider[3]):
            for found in self._models_of(name):
                if _is_match(found[0], model):
                    return found
        return None

    def _models_of(self, provider: str) -> tuple[_Model, ...]:
        models = self._models.get(provider)
        if models is None:
            models = self._models[provider] = tuple(self._read_models(provider))
        return models

    def _read_models(self, provider: str) -> Iterator[_Model]:
        now_ns = self._now_ns()

        def model(*, match: _Match, prices: Tiers | Sequence[Any] = (), **about: object) -> _Model:
            if about.keys() - _ABOUT:
                raise Unreadable(f"models have {sorted(about)}")
            return match, _settled(prices, now_ns)

        names = {**_PATTERNS, **_PRICES, "ModelInfo": model, "ModelPrice": self._tiers}
        lines = self._lines("data.py")
        for head in _heads(lines):
            if _provider(head)[0] == provider:
                for text in _models(lines):
                    self._pause()
                    yield _evaluate(text, names)
                return

    def _tiers(self, **prices: _Ratio | _Price | None) -> Tiers:
        """Stand in for a model's prices: all of them as rates."""
        columns: dict[str, tuple[int, _Price]] = {}
        for key, price in prices.items():
            counted, per = self._charged[key]
            if counted is not None and price is not None:
                columns[counted] = per, price if isinstance(price, list) else [(-1, price)]
        starts = {start for _, price in columns.values() for start, _ in price} | {-1}
        return tuple((start, _rates(columns, start)) for start in sorted(starts, reverse=True))

    def _lines(self, name: str) -> Iterator[bytes]:
        # One by one, for the whole text would be megabytes that the allocator then keeps.
        try:
            with (self._folder / name).open("rb") as file:
                yield from file
        except OSError as error:
            raise Unreadable(str(error)) from error


_ABOUT = frozenset(
    (
        "id", "name", "description", "context_window", "price_comments", "deprecated",
        "price_variants",
    )
)  # fmt: skip
"""What else is said of models."""


def _folder() -> Path:
    try:
        spec = importlib.util.find_spec("genai_prices")
        version = metadata.version("genai-prices")
    except (ImportError, ValueError) as error:
        raise Unreadable(str(error)) from error
    if spec is None or not spec.submodule_search_locations or not version.startswith(_SERIES):
        raise Unreadable(f"genai-prices {version} at {spec}")
    return Path(spec.submodule_search_locations[0])


def _evaluate(text: bytes, names: Mapping[str, Any]) -> Any:
    try:
        # An import would run the same text, with more names.
        return eval(text, {"__builtins__": {}, **names})  # noqa: S307
    except (ArithmeticError, AttributeError, LookupError, NameError) as error:
        raise Unreadable(repr(error)) from error
    except (SyntaxError, TypeError, ValueError) as error:
        raise Unreadable(repr(error)) from error


def _heads(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line == b"    Provider(\n":
            yield _head(lines)


def _models(lines: Iterator[bytes]) -> Iterator[bytes]:
    for first in lines:
        if first == b"        ],\n":
            return
        if not first.startswith(b"            ModelInfo("):
            raise Unreadable("models are written in another way")
        whole = first.endswith(b"),\n")
        text = first if whole else first + _until(lines, b"            )")
        # Variants are prices for what a caller says of a request, its service tier for example;
        # nothing is said here, and they are half of the text.
        before, _, variants = text.partition(b"\n                price_variants=[\n")
        after = variants.partition(b"\n                ],")[2]
        yield (before + after).strip().rstrip(b",")
    raise Unreadable("the table ends in its middle")


def _head(lines: Iterator[bytes]) -> bytes:
    """Return what is said of a provider before its models; how it reports tokens is not needed."""
    head: list[bytes] = []
    for line in lines:
        if line == b"        models=[\n":
            return b"".join((b"Provider(", *head, b")"))
        if line == b"        extractors=[\n":
            _until(lines, b"        ]")
        else:
            head.append(line)
    raise Unreadable("a provider without models")


def _until(lines: Iterator[bytes], last: bytes) -> bytes:
    found = []
    for line in lines:
        found.append(line)
        if line.startswith(last):
            return b"".join(found)
    raise Unreadable("the table ends in its middle")


def _provider(head: bytes) -> _Provider:
    found: _Provider = _evaluate(head, {**_PATTERNS, "Provider": _Provider_})
    return found


def _Provider_(  # noqa: N802 - it stands in for a class
    *,
    id: str,  # noqa: A002 - the table's word
    model_match: _Match | None = None,
    provider_match: _Match | None = None,
    fallback_model_providers: Sequence[str] = (),
    **about: object,
) -> _Provider:
    if about.keys() - {"name", "api_pattern", "pricing_urls", "description", "price_comments"}:
        raise Unreadable(f"providers have {sorted(about)}")
    return id, model_match, provider_match, tuple(fallback_model_providers)


def _is_match(match: _Match, text: str) -> bool:
    kind, value = match
    if kind == "equals":
        return bool(text == value)
    if kind == "starts_with":
        return text.startswith(value)
    if kind == "contains":
        return value in text
    if kind == "ends_with":
        return text.endswith(value)
    if kind == "or":
        return any(_is_match(one, text) for one in value)
    if kind == "and":
        return all(_is_match(one, text) for one in value)
    return re.search(value, text) is not None


_PATTERNS: Mapping[str, Any] = {
    "ClauseEquals": lambda *, equals: ("equals", equals.lower()),
    "ClauseStartsWith": lambda *, starts_with: ("starts_with", starts_with.lower()),
    "ClauseContains": lambda *, contains: ("contains", contains.lower()),
    "ClauseEndsWith": lambda *, ends_with: ("ends_with", ends_with.lower()),
    "ClauseRegex": lambda *, regex: ("regex", regex),
    "ClauseOr": lambda *, or_: ("or", tuple(or_)),
    "ClauseAnd": lambda *, and_: ("and", tuple(and_)),
}


def _dashed(found: re.Match[str]) -> str:
    try:
        day = dt.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return found[0]
    return f"-{day.isoformat()}"


def _charged(units: bytes) -> dict[str, tuple[str | None, int]]:
    """Return what each key of prices charges, of what is counted here, and for how many of them."""
    charged: dict[str, tuple[str | None, int]] = {}
    found = _evaluate(units.partition(b"] = ")[2].strip(), {})
    counted = [found[name]["dimensions"].items() for name in _COLUMNS]
    for name, unit in found.items():
        if name in _COLUMNS:
            charged[unit["price_key"]] = name, unit["per"]
        elif not any(unit["dimensions"].items() <= dimensions for dimensions in counted):
            # Of audio, searches and the like nothing is said here, so they cost nothing. A unit that
            # contains one of ours would have to be known, and its key stays unknown.
            charged[unit["price_key"]] = None, 1
    return charged


def _rates(columns: Mapping[str, tuple[int, _Price]], above: int) -> Rates:
    """Return the rates for more than *above* input tokens, as whole numbers over one divisor."""
    ratios = []
    for name in _COLUMNS:
        if name.startswith("cache") and name not in columns:
            # Without a price of their own they are input like any other.
            name = "input_tokens"  # noqa: PLW2901
        per, tiers = columns.get(name, (1, [(-1, (0, 1))]))
        over, under = next(price for start, price in tiers if start <= above)
        shared = gcd(over, under * per)
        ratios.append((over // shared, under * per // shared))
    divisor = lcm(*(under for _, under in ratios))
    given, made, read, created, call = (over * (divisor // under) for over, under in ratios)
    return Rates(given, made, read, created, call, divisor)


def _settled(prices: Any, now_ns: int) -> Rates | Varying | None:
    """Return what is in force: nothing that lies behind can come back, so it is left out."""
    if not prices:
        return None
    if isinstance(prices, tuple):
        return _simple(((None, prices),))
    choices: list[tuple[Condition | None, Tiers]] = []
    for condition, tiers in (*reversed(prices), (None, prices[0][1])):
        if (
            condition is not None
            and condition[1:] == (0, DAY_NS)
            and now_ns // DAY_NS >= condition[0]
        ):
            condition = None  # noqa: PLW2901 - since this day it holds
        choices.append((condition, tiers))
        if condition is None:
            break
    return _simple(tuple(choices))


def _simple(choices: tuple[tuple[Condition | None, Tiers], ...]) -> Rates | Varying:
    tiers = choices[0][1]
    return tiers[0][1] if len(choices) == 1 and len(tiers) == 1 else Varying(choices)


def _ratio(text: str) -> _Ratio:
    """Stand in for a decimal."""
    number, _, power = text.lower().partition("e")
    whole, _, part = number.partition(".")
    digits, shift = int(whole + part), int(power or 0) - len(part)
    if digits < 0:
        raise Unreadable(f"a price of {text}")
    return (digits * 10**shift, 1) if shift > 0 else (digits, 10**-shift)


def _tiered(*, base: _Ratio, tiers: Sequence[tuple[int, _Ratio]]) -> _Price:
    return [*sorted(tiers, key=lambda tier: tier[0])[::-1], (-1, base)]


def _ns_of_day(value: dt.time) -> int:
    offset = dt.timedelta(0) if value.tzinfo is None else value.utcoffset()
    if offset is None:
        raise Unreadable(f"a time of {value.tzinfo}")
    since = dt.timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    return (since - offset) // dt.timedelta(microseconds=1) * 1_000 % DAY_NS


_PRICES: Mapping[str, Any] = {
    "Decimal": _ratio,
    "datetime": dt,
    "TieredPrices": _tiered,
    "Tier": lambda *, start, price: (start, price),
    "ConditionalPrice": lambda *, prices, constraint=None: (constraint, prices),
    "PriceVariant": lambda **_: None,
    "StartDateConstraint": lambda *, start_date: (start_date.toordinal() - _EPOCH_DAY, 0, DAY_NS),
    "TimeOfDateConstraint": lambda *, start_time, end_time: (
        -1, _ns_of_day(start_time), _ns_of_day(end_time),
    ),
}  # fmt: skip
