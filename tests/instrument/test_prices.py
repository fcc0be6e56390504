"""Prices of LLM calls: the table's own answers, quicker, and the user's before them."""

from __future__ import annotations

from collections.abc import Iterator

import genai_prices
import pytest
from genai_prices import data_snapshot

from watchkeeper.instrument.prices import price
from watchkeeper.instrument.settings import load
from watchkeeper.instrument.usage import Usage

USAGES = (
    Usage(1_000, 100),
    Usage(1_000, 100, cache_read=400),
    Usage(1_000, 100, cache_read=400, cache_creation=300),
    Usage(250_000, 9_000, cache_read=1_000),
    Usage(0, 0),
)


def models() -> Iterator[tuple[str, str]]:
    """Yield some models of every provider of the table."""
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models[:6]:
            yield provider.id, model.id


def by_table(provider: str, model: str, usage: Usage) -> float | None:
    """Ask the table itself."""
    try:
        answer = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read,
                cache_write_tokens=usage.cache_creation,
            ),
            model,
            provider_id=provider,
        )
    except (LookupError, ValueError):
        return None
    return float(answer.total_price)


def test_prices_are_those_of_the_table() -> None:
    """The remembered rates give what genai-prices gives, for every kind of price in the table."""
    known = 0
    for provider, model in models():
        for usage in USAGES:
            expected = by_table(provider, model, usage)
            found = price(provider, model, usage)
            if expected is None:
                assert found is None, (provider, model, usage)
            else:
                known += 1
                same = pytest.approx(expected, rel=1e-9, abs=1e-15)
                assert same == found, (provider, model, usage)
    assert known > 500


def test_cached_tokens_are_charged_once_and_at_their_rate() -> None:
    """Of 1,000 input tokens 400 from the cache cost less, and are not charged beside the others."""
    plain = price("openai", "gpt-4o", Usage(1_000, 0))
    cached = price("openai", "gpt-4o", Usage(1_000, 0, cache_read=400))
    assert pytest.approx([1_000 * 2.5e-6, 600 * 2.5e-6 + 400 * 1.25e-6]) == [plain, cached]


def test_impossible_usage_has_no_price_and_spoils_nothing() -> None:
    """More cached than input tokens cannot be priced; the next call of the model can."""
    assert price("openai", "gpt-4o-mini", Usage(10, 0, cache_read=20)) is None
    assert pytest.approx(1.5e-6) == price("openai", "gpt-4o-mini", Usage(10, 0))


def test_an_unknown_model_has_no_price() -> None:
    """Neither a wrong model nor a wrong provider is priced as something else."""
    assert price("openai", "no-such-model", Usage(10, 10)) is None
    assert price("no-such-provider", "gpt-4o", Usage(10, 10)) is None


def test_the_users_prices_go_first() -> None:
    """A price given for provider and model wins over one for the model, and both over the table."""
    own = load(
        {},
        {
            "WATCHKEEPER_LLM_PRICES": (
                '{"gpt-4o": {"input": 10, "output": 20},'
                ' "azure.ai.openai/gpt-4o": {"input": 1, "cache_read": 0}}'
            )
        },
    ).llm_prices
    usage = Usage(1_000_000, 1_000_000, cache_read=500_000)
    assert (30.0, 0.5) == (
        price("openai", "gpt-4o", usage, own),
        price("azure.ai.openai", "gpt-4o", usage, own),
    )


def test_a_newer_table_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When genai-prices fetched new prices, those apply from the next call on."""
    before = price("openai", "gpt-4o", Usage(1_000, 0))
    newer = data_snapshot.DataSnapshot(
        providers=[one for one in data_snapshot.get_snapshot().providers if one.id != "openai"],
        from_auto_update=True,
    )
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", newer)
    meanwhile = price("openai", "gpt-4o", Usage(1_000, 0))
    monkeypatch.undo()
    after = price("openai", "gpt-4o", Usage(1_000, 0))
    assert pytest.approx([0.0025, 0.0025]) == [before, after]
    assert meanwhile is None
