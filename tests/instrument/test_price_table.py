"""The table of genai-prices, read as text: its own answers to the last digit, and no import."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import genai_prices
import pytest
from genai_prices import data, types
from tests.instrument.rig import attached

from watchkeeper import llm_call
from watchkeeper.clock import SystemClock
from watchkeeper.instrument import price_table, prices
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.price_table import PriceTable, Unreadable
from watchkeeper.instrument.prices import price
from watchkeeper.instrument.usage import Usage

USAGES = (
    Usage(0, 0),
    Usage(1_003, 107),
    Usage(1_003, 107, cache_read=401),
    Usage(1_003, 107, cache_read=401, cache_creation=303),
    Usage(31_999, 9_001, cache_creation=11),
    Usage(200_000, 1, cache_read=100_000),
    Usage(200_001, 9_001, cache_read=1_000, cache_creation=77),
    Usage(2_000_000, 70_000, cache_read=3),
)
"""Of every kind, below, at and above the lengths at which tiers begin."""
TIMES = tuple(
    dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)
    for year, month, day in ((2025, 1, 1), (2026, 10, 19), (2026, 12, 31), (2027, 1, 1))
    for hour, minute in ((0, 0), (0, 30), (2, 0), (5, 0), (8, 0), (16, 29), (16, 30), (23, 59))
)
"""Times of the day on both sides of every change, and days on both sides of the announced ones."""


def ns(time: dt.datetime) -> int:
    """Return *time* as nanoseconds since the epoch."""
    return int(time.timestamp()) * 1_000_000_000


def by_package(
    provider: str | None, model: str, usage: Usage, time: dt.datetime | None = None
) -> float | None:
    """Ask genai-prices itself."""
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_creation,
    )
    try:
        answer = genai_prices.calc_price(
            tokens, model, provider_id=provider, genai_request_timestamp=time
        )
    except (LookupError, ValueError):
        return None
    return float(answer.total_price)


def models() -> Iterator[tuple[str, types.ModelInfo]]:
    """Yield every model of the table with its provider's id."""
    for provider in data.providers:
        for model in provider.models:
            yield provider.id, model


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> prices._Known:
    """What is remembered of models, forgotten: nothing was asked for yet."""
    fresh = prices._Known()
    monkeypatch.setattr(prices, "_KNOWN", fresh)
    return fresh


def test_every_price_of_the_table_is_exact(known: prices._Known) -> None:
    """Every model costs to the last digit what genai-prices says, with caches and with tiers."""
    every = [(provider, model.id) for provider, model in models()]
    wrong = [
        (provider, model, usage, expected, found)
        for provider, model in every
        for usage in USAGES
        for expected, found in [(by_package(provider, model, usage), price(provider, model, usage))]
        if expected != found
    ]

    assert wrong == []
    assert not known.unreadable
    assert len(every) > 2_000


@pytest.mark.parametrize("step", [1, 5])
def test_prices_that_depend_on_the_time_are_exact(known: prices._Known, step: int) -> None:
    """Off-peak and announced prices begin and end when genai-prices says so, in a running process."""
    dated = [(provider, one.id) for provider, one in models() if isinstance(one.prices, list)]
    wrong = [
        (time, provider, model)
        for time in TIMES[::step]
        for provider, model in dated
        for usage in USAGES[3:7:3]
        if by_package(provider, model, usage, time)
        != price(provider, model, usage, now_ns=lambda: ns(time))  # noqa: B023 - called at once
    ]

    assert wrong == []
    assert not known.unreadable
    assert len(dated) > 200


def test_models_are_found_by_the_packages_rules(known: prices._Known) -> None:
    """Other spellings, dates, providers' other names and those who offer others' models all agree."""
    names = [
        (provider, written)
        for provider, one in models()
        for written in (
            one.id.upper(),
            f"{one.id}-20251211",
            f"{one.id}-20251399:free",
            one.id[:-1],
        )
    ]
    odd = [
        (provider, model)
        for provider in (
            "", "OpenAI", " openai ", "azure", "azure-openai", "google-vertex", "litellm", "LiteLLM",
            "bedrock", "nobody", "x-ai", "groq", "anthropic-direct", "vertex", "mistralai",
        )
        for model in (
            "", "/", "gpt-4o", "openai/gpt-4o", "/gpt-4o", "openai/", "nobody/gpt-4o", "grok-3",
            "claude-sonnet-4-5-20250929", "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "gemini-2.5-pro", "gpt-5.2-20251211", "mistral-large-latest", "ft:gpt-4o:shop::1",
        )
    ]  # fmt: skip
    usage = Usage(300_000, 70, 9, 3)
    wrong = [
        (provider, model)
        for provider, model in (*names, *odd)
        if by_package(provider or None, model, usage) != price(provider, model, usage)
    ]

    assert wrong == []
    assert not known.unreadable


def test_impossible_usage_has_no_price(known: prices._Known) -> None:
    """A negative number of tokens is not charged, and takes nothing off."""
    usages = (Usage(-1, 2), Usage(1, -2), Usage(1, 2, -1), Usage(1, 2, 0, -1))

    assert [None] * 4 == [price("openai", "gpt-4o", usage) for usage in usages]
    assert not known.unreadable


def write(folder: Path, change: Callable[[str], str]) -> None:
    """Copy the package's table to *folder* with a change."""
    where = Path(str(data.__file__)).parent
    (folder / "data_units.py").write_bytes((where / "data_units.py").read_bytes())
    (folder / "data.py").write_text(change((where / "data.py").read_text("utf-8")), "utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ClauseEquals(equals=", "ClauseAlmost(equals="),
        ("    Provider(\n", "    Vendor(\n"),
        ("        name=", "        nickname="),
        ("                match=", "                pattern="),
        ("input_mtok=", "thought_mtok="),
        ("Decimal(", "Fraction("),
        ("            ModelInfo(\n", "            Model(\n"),
        ("models=[", "catalogue=["),
        ("TieredPrices(", "Steps("),
    ],
)
def test_a_table_in_another_form_is_asked_for_and_not_guessed(
    known: prices._Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """Where the text says something unknown, the package's own answer counts."""
    write(tmp_path, lambda text: text.replace(old, new))
    monkeypatch.setattr(price_table, "_folder", lambda: tmp_path)
    calls = [("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"), ("openai", "gpt-4o")]
    usage = Usage(250_000, 100, 1_000)
    expected = [by_package(provider, model, usage) for provider, model in calls]

    assert pytest.approx(expected) == [price(provider, model, usage) for provider, model in calls]
    assert known.unreadable


NIGHTLY = """
providers: list[Provider] = [
    Provider(
        id='night',
        name='Night',
        api_pattern='night',
        models=[
            ModelInfo(
                id='owl',
                match=ClauseAnd(and_=[ClauseContains(contains='OW'), ClauseEndsWith(ends_with='l')]),
                prices=[
                    ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('8'))),
                    ConditionalPrice(
                        constraint=TimeOfDateConstraint(
                            start_time=datetime.time(22, 0, tzinfo=datetime.UTC),
                            end_time=datetime.time(0, 30, tzinfo=datetime.UTC),
                        ),
                        prices=ModelPrice(input_mtok=Decimal('4')),
                    ),
                    ConditionalPrice(
                        constraint=TimeOfDateConstraint(
                            start_time=datetime.time(
                                1, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=-7))
                            ),
                            end_time=datetime.time(16, 29),
                        ),
                        prices=ModelPrice(
                            input_mtok=TieredPrices(
                                base=Decimal('2E+1'),
                                tiers=[
                                    Tier(start=900, price=Decimal('0.1')),
                                    Tier(start=10, price=Decimal('1')),
                                    Tier(start=900, price=Decimal('3e-1')),
                                ],
                            ),
                        ),
                    ),
                ],
            ),
        ],
    ),
]
"""


def test_any_form_of_condition_is_understood(
    known: prices._Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices over midnight, of other time zones and in unsorted tiers agree too."""
    names: dict[str, object] = {**vars(types), **vars(data)}
    exec(NIGHTLY, names)  # noqa: S102 - as an import of the table would
    model: types.ModelInfo = names["providers"][0].models[0]  # type: ignore[index]
    write(tmp_path, lambda _: NIGHTLY)
    monkeypatch.setattr(price_table, "_folder", lambda: tmp_path)
    wrong = [
        (time, tokens)
        for time in (TIMES[0] + dt.timedelta(minutes=minute) for minute in range(24 * 60))
        for tokens in (10, 11, 900, 901)
        if price("night", "owl", Usage(tokens), now_ns=lambda: ns(time))  # noqa: B023
        != float(model.get_prices(time).calc_price(types.Usage(input_tokens=tokens))["total_price"])
    ]

    assert wrong == []
    assert not known.unreadable


def test_another_series_is_asked_for(known: prices._Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of a version that is not known are the package's own."""
    monkeypatch.setattr(price_table, "_SERIES", "9.")
    found = price("openai", "gpt-4o", Usage(1_000, 10))

    assert pytest.approx(by_package("openai", "gpt-4o", Usage(1_000, 10))) == found
    assert known.unreadable


def test_an_updated_package_has_its_new_prices(
    known: prices._Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prices are those of the table that is installed, whatever they are."""
    old = "id='gpt-4o',\n"
    write(tmp_path, lambda text: text.replace("Decimal('2.5')", "Decimal('3.7')"))
    assert old in (tmp_path / "data.py").read_text("utf-8")
    monkeypatch.setattr(price_table, "_folder", lambda: tmp_path)

    assert price("openai", "gpt-4o", Usage(1_000_000, 0)) == 3.7
    assert not known.unreadable


def test_a_process_keeps_a_provider_as_it_read_it(tmp_path: Path) -> None:
    """Prices that were read stay when the package is taken away; others are then not readable."""
    write(tmp_path, lambda text: text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_table, "_folder", lambda: tmp_path)
        table = PriceTable(SystemClock.now_ns, int)
    before = table.find("openai", "gpt-4o")
    (tmp_path / "data.py").unlink()

    assert before == table.find("openai", "gpt-4o") is not None
    with pytest.raises(Unreadable, match=r"data\.py"):
        table.find("anthropic", "claude-sonnet-4-5")


ALONE = """
import sys
import threading
{before}
import watchkeeper
watchkeeper.configure(endpoint="", log_level="error", metrics_port=0, spool_dir={folder!r})
for model in ("gpt-4o", "claude-sonnet-4-5", "gpt-4o"):
    with watchkeeper.llm_call(provider="anthropic" if "claude" in model else "openai", model=model) as call:
        call.record_usage(100, 20)
{after}
for name in ("genai_prices", "httpx2", "pydantic", "decimal"):
    print(name in sys.modules and sys.modules[name] is not None)
from watchkeeper.instrument import prices
print(prices.price("openai", "gpt-4o", prices.Usage(1_000, 0)))
"""


def alone(folder: Path, before: str = "", after: str = "") -> list[str]:
    """Return what a fresh process that prices calls of two providers says."""
    code = ALONE.format(before=before, after=after, folder=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True
    )
    return done.stdout.split()


def test_pricing_calls_imports_no_package(tmp_path: Path) -> None:
    """After the first calls neither genai-prices nor anything that it needs is imported."""
    assert ["False"] * 4 + ["0.0025"] == alone(tmp_path)


def test_without_the_package_calls_have_no_price(tmp_path: Path) -> None:
    """The bare install prices nothing, and fails nothing."""
    bare = "sys.modules['genai_prices'] = None"

    assert ["False"] * 4 + ["None"] == alone(tmp_path, before=bare)


def test_a_child_process_prices_its_calls(tmp_path: Path) -> None:
    """A process that was forked while its parent read the prices does not wait for that."""
    fork = """
import os
read, write = os.pipe()
from watchkeeper.instrument.prices import warm_prices, price, Usage, WARMED
warm_prices("google", "gemini-2.0-flash")
if not (child := os.fork()):
    os.write(write, str(price("google", "gemini-2.0-flash", Usage(1_000_000, 0))).encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 99).decode())
"""
    expected = by_package("google", "gemini-2.0-flash", Usage(1_000_000, 0))

    assert str(expected) == alone(tmp_path, after=fork)[0]


async def test_prices_are_there_when_a_call_ends(known: prices._Known) -> None:
    """They are read while the model thinks, by a thread, and not by the event loop at the end."""
    prices.WARMED.discard("moonshotai")
    before = set(threading.enumerate())
    with attached(), reraising():
        async with llm_call(provider="moonshotai", model="kimi-k2"):
            for thread in set(threading.enumerate()) - before:
                thread.join()
            found = set(known.rates)

    assert {("moonshotai", "kimi-k2")} == found


def test_users_own_prices_need_no_table(known: prices._Known) -> None:
    """Who gives all prices in the settings has nothing read, neither ahead nor for the price."""
    own = {"gpt-4o": (1.0, 2.0, 0.5, 1.0), "here/small": (1.0, 0.0, 0.0, 0.0)}
    for provider, model in (("own-1", "gpt-4o"), ("here", "small")):
        prices.warm_prices(provider, model, own)
    found = price("here", "small", Usage(3_000_000), own)

    assert (3.0, None, {}) == (found, known.table, known.rates)
    assert prices.WARMED.isdisjoint({"own-1", "here"})


def test_many_providers_start_no_more_threads(known: prices._Known) -> None:
    """Providers beyond a hundred are not read ahead, whatever names they have."""
    before = prices.WARMED.copy()
    try:
        prices.WARMED.update(f"provider-{number}" for number in range(100))
        prices.warm_prices("one-more", "model")
        found = "one-more" in prices.WARMED
    finally:
        prices.WARMED.clear()
        prices.WARMED.update(before)

    assert (False, {}) == (found, known.rates)


def size(kept: object, seen: set[int]) -> int:
    """Return the bytes of *kept* and of what it holds, each object once."""
    if id(kept) in seen:
        return 0
    seen.add(id(kept))
    inner = kept if isinstance(kept, tuple) else ()
    return sys.getsizeof(kept) + sum(size(one, seen) for one in inner)


def test_a_model_that_was_read_takes_half_a_kilobyte() -> None:
    """Even the provider with the most models takes no more for each than its patterns and rates."""
    table = PriceTable(SystemClock.now_ns, int)
    models = table._models_of("openrouter")

    assert size(models, set()) / len(models) < 512
