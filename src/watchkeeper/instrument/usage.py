"""What LLM calls used and cost: tokens, prices, and the agent run that they belong to."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

__all__ = ["CALL", "NO_USAGE", "RUN", "Claims", "Run", "Usage", "claims", "price", "warm_prices"]

_PRICE_MISSES_MAX = 1_000
_CLAIMS_MAX = 4_096
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


class Usage(NamedTuple):
    """Tokens of one call. The cached ones are parts of the input, as the conventions say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_creation: int = 0


NO_USAGE = Usage()


class Run:
    """What an agent run adds up from the calls made inside it."""

    __slots__ = ("cost_usd", "input_tokens", "name", "output_tokens", "parent", "priced", "steps")

    def __init__(self, name: str, parent: Run | None) -> None:
        self.name = name
        self.parent = parent
        self.steps = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd = 0.0
        self.priced = False

    def add(self, usage: Usage = NO_USAGE, cost_usd: float | None = None) -> None:
        """Add one step here and in every run around this one."""
        run: Run | None = self
        while run is not None:
            run.steps += 1
            run.input_tokens += usage.input_tokens
            run.output_tokens += usage.output_tokens
            if cost_usd is not None:
                run.cost_usd += cost_usd
                run.priced = True
            run = run.parent


RUN: ContextVar[Run | None] = ContextVar("watchkeeper_agent_run", default=None)
"""The innermost agent run of this context."""
CALL: ContextVar[bool] = ContextVar("watchkeeper_llm_call", default=False)
"""Whether this context is inside an `llm_call`, which then counts for whatever its client traces."""


class Claims:
    """The latest span ids whose tokens somebody else counts; bounded, the oldest are forgotten."""

    __slots__ = ("_ids", "_maximum")

    def __init__(self, maximum: int = _CLAIMS_MAX) -> None:
        self._ids: dict[int, None] = {}
        self._maximum = maximum

    def add(self, span_id: int) -> None:
        """Remember *span_id*."""
        ids = self._ids
        ids[span_id] = None
        if len(ids) > self._maximum:
            try:
                ids.pop(next(iter(ids)), None)
            except (RuntimeError, StopIteration):
                # Another thread was at it in the same moment; the next call makes room.
                return

    def __contains__(self, span_id: int) -> bool:
        return span_id in self._ids


claims = Claims()
"""Spans of `llm_call`: they count; model calls directly below them do not."""


@cache
def _calculator() -> tuple[Any, Any] | None:
    # genai-prices is optional, and takes 0.4 s to import and another 0.2 s for its first answer.
    try:
        import genai_prices  # noqa: PLC0415 - optional, and only paid for by who calls models
    except ImportError:
        return None
    return genai_prices.calc_price, genai_prices.Usage


_MISSES: set[tuple[str, str]] = set()
_WARM = threading.Lock()


def price(provider: str, model: str, usage: Usage) -> float | None:
    """Return the price of a call in US dollars by the offline table of genai-prices.

    Args:
        provider: ``gen_ai.provider.name``.
        model: The model that answered.
        usage: Its tokens; the cached ones are charged at their own rates.

    Returns:
        The price, or None if the model is not in the table or genai-prices is not installed.
    """
    key = (provider, model)
    if key in _MISSES:
        return None
    calculator = _calculator()
    if calculator is None:
        return None
    calculate, usage_type = calculator
    tokens = usage_type(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_creation,
    )
    try:
        found = calculate(tokens, model, provider_id=_PROVIDER_IDS.get(provider, provider) or None)
    except (LookupError, ValueError):
        if len(_MISSES) < _PRICE_MISSES_MAX:
            _MISSES.add(key)
        return None
    return float(found.total_price)


def warm_prices() -> None:
    """Load the price table in a thread, once, so that no call waits for it on an event loop."""
    if _WARM.acquire(blocking=False):
        threading.Thread(
            target=price,
            args=("openai", "gpt-4o", Usage(1, 1)),
            name="watchkeeper-prices",
            daemon=True,
        ).start()
