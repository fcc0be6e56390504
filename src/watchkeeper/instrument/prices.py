"""What LLM calls cost: rates of the user's own, else the offline table of genai-prices.

The table takes some 70 µs to ask, for it finds the model by patterns and computes with decimals. For
nearly every model its answer is linear in the tokens and stays what it is, so it is asked for the
rates once and the sum is done here. It is asked anew for each call where tiers depend on the length
of the input, where prices depend on the time of day or a new one is already announced.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from watchkeeper.instrument.usage import Usage
from watchkeeper.vocabulary.limits import limit

__all__ = ["WARM", "Rates", "price", "warm_prices"]

_MODELS_MAX = limit("price_models_max")
_PROBE = 1_000_000
"""Tokens of the calls that the rates are read from: prices are set per million."""
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


class Rates(NamedTuple):
    """US dollars per token, and per call."""

    input: float
    output: float
    cache_read: float
    cache_creation: float
    call: float = 0.0


_OWN: Mapping[str, tuple[float, float, float, float]] = MappingProxyType({})
WARM = threading.Lock()
"""Held once the table was loaded, or is being loaded."""


class _Known:
    """Rates by provider and model; None for an unknown model, False where they are not fixed."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, str], Rates | bool | None] = {}
        self.snapshot: object = None


_KNOWN = _Known()


def price(
    provider: str,
    model: str,
    usage: Usage,
    own: Mapping[str, tuple[float, float, float, float]] = _OWN,
) -> float | None:
    """Return the price of a call in US dollars.

    Args:
        provider: ``gen_ai.provider.name``.
        model: The model that answered.
        usage: Its tokens; the cached ones are parts of the input and are charged at their own rates.
        own: The user's rates, which go first: input, output, cache read and cache creation in US
            dollars per million tokens, by ``provider/model`` or by model.

    Returns:
        The price, or None if the model is not known, genai-prices is not installed, or more tokens
        are said to be cached than there are input tokens.
    """
    if own:
        found = own.get(f"{provider}/{model}") or own.get(model)
        if found is not None:
            return _sum(Rates(*(rate / 1e6 for rate in found)), usage)
    table = _table()
    if table is None:
        return None
    snapshot = table.snapshot()
    if snapshot is not _KNOWN.snapshot:
        # An application may fetch a newer table with genai-prices' UpdatePrices.
        _KNOWN.rates, _KNOWN.snapshot = {}, snapshot
    key = (provider, model)
    rates: Rates | bool | None = _KNOWN.rates.get(key, True)
    if rates is True:
        rates = table.rates(provider, model)
        if len(_KNOWN.rates) >= _MODELS_MAX:
            _KNOWN.rates.clear()
        _KNOWN.rates[key] = rates
    if rates is None:
        return None
    if rates is False or rates is True:
        return table.ask(provider, model, usage)
    return _sum(rates, usage)


def warm_prices() -> None:
    """Load the price table in a thread, once, so that no call waits for it on an event loop."""
    if WARM.acquire(blocking=False):
        threading.Thread(
            target=price,
            args=("openai", "gpt-4o", Usage(1, 1)),
            name="watchkeeper-prices",
            daemon=True,
        ).start()


def _sum(rates: Rates, usage: Usage) -> float | None:
    given, made, read, created, _ = usage
    plain = given - read - created
    if plain < 0:
        return None
    return (
        rates.call
        + plain * rates.input
        + made * rates.output
        + read * rates.cache_read
        + created * rates.cache_creation
    )


class _Table:
    """genai-prices, as far as it is needed."""

    def __init__(self, package: Any) -> None:
        from genai_prices import data_snapshot, types  # noqa: PLC0415 - optional

        self.snapshot = data_snapshot.get_snapshot
        self._calculate = package.calc_price
        self._usage = package.Usage
        self._tiered: type = types.TieredPrices
        self._plain: type = types.ModelPrice
        self._dated: Any = types.StartDateConstraint

    def ask(self, provider: str, model: str, usage: Usage) -> float | None:
        try:
            return float(self._answer(provider, model, usage).total_price)
        except (LookupError, ValueError):
            return None

    def rates(self, provider: str, model: str) -> Rates | bool | None:
        """Return the model's rates, False if they are not fixed, or None if it is unknown."""
        try:
            nothing = self._answer(provider, model, Usage())
        except (LookupError, ValueError):
            return None
        if not self._is_fixed(nothing.model.prices, nothing.model_price):
            return False
        call = float(nothing.total_price)
        plain, output, read, created = (
            (self.ask(provider, model, probe) or 0.0) - call
            for probe in (
                Usage(input_tokens=_PROBE),
                Usage(output_tokens=_PROBE),
                Usage(input_tokens=_PROBE, cache_read=_PROBE),
                Usage(input_tokens=_PROBE, cache_creation=_PROBE),
            )
        )
        return Rates(plain / _PROBE, output / _PROBE, read / _PROBE, created / _PROBE, call)

    def _answer(self, provider: str, model: str, usage: Usage) -> Any:
        tokens = self._usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_creation,
        )
        where = _PROVIDER_IDS.get(provider, provider) or None
        return self._calculate(tokens, model, provider_id=where)

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
def _table() -> _Table | None:
    # genai-prices is optional, and takes 0.4 s to import and another 0.2 s for its first answer.
    try:
        import genai_prices  # noqa: PLC0415 - optional, and only paid for by who calls models
    except ImportError:
        return None
    return _Table(genai_prices)
