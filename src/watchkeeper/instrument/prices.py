"""What LLM calls cost: rates of the user's own, else the offline table of genai-prices.

What is known of a model is remembered, so that a call costs a look-up and a sum. It comes from
`PriceTable`, which reads the package's table without importing it. The package itself is asked where
the application fetched newer prices with it, and where its table cannot be read: then it is imported,
and asked for each call of a model whose prices are not the same for every call.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.price_table import PriceTable, Unreadable
from watchkeeper.instrument.rates import Rates, Varying
from watchkeeper.instrument.usage import Usage
from watchkeeper.vocabulary.limits import limit

__all__ = ["WARMED", "price", "warm_prices"]

_MODELS_MAX = limit("price_models_max")
_WARMED_MAX = 100
_MILLION = 1_000_000
"""Prices are set per million tokens."""
_NOTHING = Usage()
_THREAD = "watchkeeper-prices"
_PROVIDER_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}
"""Provider names of the semantic conventions, where genai-prices has another id."""
_OWN: Mapping[str, tuple[float, float, float, float]] = MappingProxyType({})
_MODULES = sys.modules
_UNASKED = object()
WARMED: set[str] = set()
"""Providers whose prices were read, or are being read."""


class _Known:
    """What is remembered of each provider and model."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, str], object] = {}
        """Rates; None for an unknown model, and a function that prices a call where they differ."""
        self.snapshot: object = None
        """The newer prices that these are from, or None for those of the installed package."""
        self.table: PriceTable | None = None
        self.unreadable = False


_KNOWN = _Known()


def price(
    provider: str,
    model: str,
    usage: Usage,
    own: Mapping[str, tuple[float, float, float, float]] = _OWN,
    now_ns: Callable[[], int] = SystemClock.now_ns,
) -> float | None:
    """Return the price of a call in US dollars.

    Args:
        provider: ``gen_ai.provider.name``.
        model: The model that answered.
        usage: Its tokens; the cached ones are parts of the input and are charged at their own rates.
        own: The user's rates, which go first: input, output, cache read and cache creation in US
            dollars per million tokens, by ``provider/model`` or by model.
        now_ns: Returns nanoseconds since the epoch, for prices that depend on the time.

    Returns:
        The price, or None if the model is not known, genai-prices is not installed, more tokens are
        said to be cached than there are input tokens, or a number of tokens is negative.
    """
    rates: Any = None
    if own:
        found = own.get(f"{provider}/{model}") or own.get(model)
        if found is not None:
            rates = Rates(*found, 0, _MILLION)
    if rates is None:
        loaded = _MODULES.get("genai_prices.data_snapshot")
        snapshot = None if loaded is None else _newer(loaded)
        if snapshot is not _KNOWN.snapshot:
            _KNOWN.rates, _KNOWN.snapshot = {}, snapshot
        known = _KNOWN.rates
        rates = known.get((provider, model), _UNASKED)
        if rates is _UNASKED:
            rates = _find(provider, model, snapshot, now_ns)
            if len(known) >= _MODELS_MAX:
                known.clear()
            known[(provider, model)] = rates
    given, made, read, created, _ = usage
    if type(rates) is Varying:
        rates = rates.of(given, now_ns)
    if type(rates) is not Rates:
        answer: float | None = None if rates is None else rates(usage)
        return answer
    plain = given - read - created
    if plain < 0 or made < 0 or read < 0 or created < 0:
        return None
    a, b, c, d, call, per = rates
    return (plain * a + made * b + read * c + created * d + call) / per


def warm_prices(
    provider: str,
    model: str,
    own: Mapping[str, tuple[float, float, float, float]] = _OWN,
) -> None:
    """Read a provider's prices in a thread, once, so that the end of a call need not wait for it.

    Args:
        provider: ``gen_ai.provider.name``.
        model: The model that is called.
        own: The user's rates; a model of theirs needs no table.
    """
    has_own = bool(own) and (f"{provider}/{model}" in own or model in own)
    if len(WARMED) < _WARMED_MAX and not has_own:
        WARMED.add(provider)
        with suppress(RuntimeError):  # No more threads are to be had.
            threading.Thread(
                target=_warm, args=(provider, model), name=_THREAD, daemon=True
            ).start()


def _give_way() -> None:
    """Let other threads run, the event loop's for one, if this is the one that reads prices ahead."""
    if threading.current_thread().name == _THREAD:
        time.sleep(0)


def _warm(provider: str, model: str) -> None:
    try:
        price(provider, model, _NOTHING)
    except Exception as error:  # noqa: BLE001 - the call itself will meet it again
        record_failure("prices", error)


def _newer(loaded: Any) -> object:
    """Return the prices that the application fetched or made with the package, or None."""
    if _KNOWN.unreadable:
        return loaded.get_snapshot()
    return getattr(loaded, "_custom_snapshot", None)


def _find(provider: str, model: str, snapshot: object, now_ns: Callable[[], int]) -> object:
    where = _PROVIDER_IDS.get(provider, provider) or None
    if snapshot is None and not _KNOWN.unreadable:
        try:
            table = _KNOWN.table
            if table is None:
                table = _KNOWN.table = PriceTable(now_ns, _give_way)
            return table.find(where, model)
        except Unreadable:
            _KNOWN.unreadable = True
    package = _package()
    return None if package is None else package.find(where, model)


class _Package:
    """genai-prices itself, as far as it is needed."""

    def __init__(self, package: Any) -> None:
        from genai_prices import types  # noqa: PLC0415 - optional

        self._calculate = package.calc_price
        self._usage = package.Usage
        self._tiered: type = types.TieredPrices
        self._plain: type = types.ModelPrice
        self._dated: Any = types.StartDateConstraint

    def find(
        self, provider: str | None, model: str
    ) -> Rates | Callable[[Usage], float | None] | None:
        """Return the model's rates, what prices its calls if these differ, or None if unknown."""
        try:
            nothing = self._answer(provider, model, Usage())
        except (LookupError, ValueError):
            return None
        if not self._is_fixed(nothing.model.prices, nothing.model_price):
            return partial(self._ask, provider, model)
        call = float(nothing.total_price)
        given, made, read, created = (
            (self._ask(provider, model, probe) or 0.0) - call
            for probe in (
                Usage(input_tokens=_MILLION),
                Usage(output_tokens=_MILLION),
                Usage(input_tokens=_MILLION, cache_read=_MILLION),
                Usage(input_tokens=_MILLION, cache_creation=_MILLION),
            )
        )
        return Rates(given, made, read, created, call * _MILLION, _MILLION)

    def _ask(self, provider: str | None, model: str, usage: Usage) -> float | None:
        try:
            return float(self._answer(provider, model, usage).total_price)
        except (LookupError, ValueError):
            return None

    def _answer(self, provider: str | None, model: str, usage: Usage) -> Any:
        tokens = self._usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_creation,
        )
        return self._calculate(tokens, model, provider_id=provider)

    def _is_fixed(self, prices: Any, chosen: Any) -> bool:
        if any(isinstance(value, self._tiered) for value in vars(chosen).values()):
            return False
        if isinstance(prices, self._plain):
            return True
        dated = []
        for conditional in prices:
            if isinstance(conditional.constraint, self._dated):
                dated.append((conditional.constraint.start_date, conditional.prices))
            elif conditional.constraint is not None:
                return False
        # The newest price is in force: nothing that the table knows of can change it.
        return not dated or max(dated, key=lambda pair: pair[0])[1] is chosen


@cache
def _package() -> _Package | None:
    try:
        import genai_prices  # noqa: PLC0415 - optional, and only paid for where it is needed
    except ImportError:
        return None
    return _Package(genai_prices)
