"""The settings of agents, LLM calls and users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.row import limit_row, row
from watchkeeper.instrument.settings.web import WebSettings

__all__ = ["DomainSettings"]


@dataclass(frozen=True, slots=True)
class DomainSettings(WebSettings):
    """The part of the table that the domain functions and the derived metrics read."""

    capture_content: bool = row(
        False,  # noqa: FBT003 - a default
        "Record prompts and answers of LLM calls.",
        parse.boolean,
        "WATCHKEEPER_CAPTURE_CONTENT",
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", parse.genai_content),
    )
    content_chars_max: int = limit_row("content_chars_max")
    llm_prices: Mapping[str, tuple[float, float, float, float]] = row(
        MappingProxyType({}),
        "Prices of models in US dollars per million tokens, as JSON: "
        '`{"openai/my-model": {"input": 1.5, "output": 6, "cache_read": 0.4, "cache_creation": 2}}`; '
        "they go before the table's.",
        parse.prices,
        "WATCHKEEPER_LLM_PRICES",
    )
    genai_latest: bool = row(
        False,  # noqa: FBT003 - a default
        "Emit the newer names of the GenAI metrics too; `OTEL_SEMCONV_STABILITY_OPT_IN` turns it on "
        "with `gen_ai_latest_experimental`.",
        parse.genai_opt_in,
        "WATCHKEEPER_GENAI_LATEST",
        "OTEL_SEMCONV_STABILITY_OPT_IN",
    )
    users_dir: str = row(
        "",
        "Directory where the processes of a host count the users of a day together; empty is one "
        "per user of the host.",
        parse.text,
        "WATCHKEEPER_USERS_DIR",
    )
    active_users_max: int = limit_row("active_users_max")
    agent_loop_repeats: int = limit_row("agent_loop_repeats")
    agent_calls_kept_max: int = limit_row("agent_calls_kept_max")
    slow_query_s: float = row(
        1.0,
        "Seconds from which a database statement counts as slow.",
        parse.positive,
        "WATCHKEEPER_SLOW_QUERY_S",
    )
    slow_query_events_max: int = limit_row("slow_query_events_max")
    reject_reasons_max: int = limit_row("reject_reasons_max")
