"""The agents: runs, tools, LLM calls, tokens and what they cost."""

from __future__ import annotations

from watchkeeper.define.expr import (
    JOB,
    OR_ZERO,
    count,
    legend,
    mean,
    quantile,
    rate,
    series,
    share,
    where,
)
from watchkeeper.define.model import Dashboard, Panel, Query, Row, Threshold, Unit, Variable

__all__ = ["AGENTS"]

_RUN, _TOOL = "gen_ai.invoke_agent.duration", "gen_ai.execute_tool.duration"
_CALL, _TOKENS = "gen_ai.client.operation.duration", "gen_ai.client.token.usage"
_FIRST = "gen_ai.client.operation.time_to_first_chunk"
_NAME, _MODEL = "gen_ai.agent.name", "gen_ai.request.model"
_AGENT, _OF_MODEL = where(_NAME, "=~", "$agent"), where(_MODEL, "=~", "$model")
_FAILED = where("error.type", "!=", "")
_SUCCEEDED = where("error.type", "=", "")


def _cost_per_hour(*by: str) -> str:
    return rate(series("llm.cost", JOB, _AGENT, _OF_MODEL), by=by) + " * 3600"


_NOW = Row(
    "Right now",
    "Do the agents do their work, and at what price?",
    (
        Panel(
            "runs-now", "Agent runs", "Agent runs that ended, per second.",
            Unit.OPS, (Query(count(_RUN, JOB, _AGENT), "runs", instant=True),),
            kind="stat", width=3,
        ),
        Panel(
            "success-now", "Runs that succeeded", "Share of agent runs that ended without an error.",
            Unit.RATIO,
            (
                Query(
                    share(count(_RUN, JOB, _AGENT, _SUCCEEDED), count(_RUN, JOB, _AGENT)),
                    "succeeded", instant=True,
                ),
            ),
            kind="stat", width=3,
        ),
        Panel(
            "cost-now", "Cost per hour",
            "What an hour costs at the present pace, in US dollars, for calls with a known price.",
            Unit.USD, (Query(_cost_per_hour(), "cost", instant=True),),
            kind="stat", width=3, decimals=2,
        ),
        Panel(
            "cost-range", "Cost in this period",
            "What the LLM calls of the period shown cost, in US dollars.",
            Unit.USD,
            (
                Query(
                    f"sum(increase({series('llm.cost', JOB, _AGENT, _OF_MODEL)}[$__range]))",
                    "cost", instant=True,
                ),
            ),
            kind="stat", width=3, decimals=2,
        ),
    ),
)  # fmt: skip

_RUNS = Row(
    "Agent runs",
    "Do runs succeed, and how long do users wait for them?",
    (
        Panel(
            "runs", "Runs by agent", "Agent runs that ended, per second.",
            Unit.OPS, (Query(count(_RUN, JOB, _AGENT, by=(_NAME,)), legend(_NAME)),),
            stacked=True,
        ),
        Panel(
            "success-rate", "Runs that succeeded by agent",
            "Share of each agent's runs that ended without an error.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(_RUN, JOB, _AGENT, _SUCCEEDED, by=(_NAME,)),
                        count(_RUN, JOB, _AGENT, by=(_NAME,)),
                    ),
                    legend(_NAME),
                ),
            ),
        ),
        Panel(
            "run-latency", "Duration of runs (p95)",
            "19 of 20 runs of an agent end sooner than this.",
            Unit.SECONDS,
            (Query(quantile(0.95, _RUN, JOB, _AGENT, by=(_NAME,)), legend(_NAME)),),
            thresholds=(Threshold(30, "warning"), Threshold(120, "critical")),
        ),
        Panel(
            "steps", "Steps per run",
            "LLM and tool calls of an average run. A rise means that an agent goes in circles.",
            Unit.COUNT,
            (Query(mean("agent.run.steps", JOB, _AGENT, by=(_NAME,)), legend(_NAME)),),
        ),
    ),
)  # fmt: skip

_TOOLS = Row(
    "Tools",
    "Which tools do agents use, and which of them fail?",
    (
        Panel(
            "tool-calls", "Tool calls", "Calls per second of each tool.",
            Unit.OPS,
            (Query(count(_TOOL, JOB, by=("gen_ai.tool.name",)), legend("gen_ai.tool.name")),),
            width=4, stacked=True,
        ),
        Panel(
            "tool-failures", "Failed tool calls", "Share of each tool's calls that failed.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(_TOOL, JOB, _FAILED, by=("gen_ai.tool.name",)),
                        count(_TOOL, JOB, by=("gen_ai.tool.name",)),
                    ),
                    legend("gen_ai.tool.name"),
                ),
            ),
            width=4, thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
        ),
        Panel(
            "tool-latency", "Duration of tool calls (p95)",
            "19 of 20 calls of a tool end sooner than this.",
            Unit.SECONDS,
            (
                Query(
                    quantile(0.95, _TOOL, JOB, by=("gen_ai.tool.name",)), legend("gen_ai.tool.name")
                ),
            ),
            width=4,
        ),
    ),
)  # fmt: skip

_LLM = Row(
    "LLM calls",
    "Do the model providers answer, and how fast?",
    (
        Panel(
            "llm-calls", "Calls by model", "LLM calls per second.",
            Unit.OPS, (Query(count(_CALL, JOB, _OF_MODEL, by=(_MODEL,)), legend(_MODEL)),),
            stacked=True,
        ),
        Panel(
            "llm-errors", "Failed calls by model",
            "Share of calls that failed: timeouts, rate limits, refusals of the provider.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(_CALL, JOB, _OF_MODEL, _FAILED, by=(_MODEL,)),
                        count(_CALL, JOB, _OF_MODEL, by=(_MODEL,)),
                    ),
                    legend(_MODEL),
                ),
            ),
            thresholds=(Threshold(0.02, "warning"), Threshold(0.1, "critical")),
        ),
        Panel(
            "llm-latency", "Duration of calls (p95)",
            "19 of 20 calls are answered in full sooner than this.",
            Unit.SECONDS,
            (Query(quantile(0.95, _CALL, JOB, _OF_MODEL, by=(_MODEL,)), legend(_MODEL)),),
        ),
        Panel(
            "first-chunk", "Time to the first word (p95)",
            "How long a reader of a streamed answer stares at nothing.",
            Unit.SECONDS,
            (Query(quantile(0.95, _FIRST, JOB, _OF_MODEL, by=(_MODEL,)), legend(_MODEL)),),
            thresholds=(Threshold(2, "warning"), Threshold(5, "critical")),
        ),
        Panel(
            "tokens", "Tokens by direction and model",
            "Tokens per second: input is what we send, output what the model writes.",
            Unit.TOKENS,
            (
                Query(
                    rate(
                        series(_TOKENS, JOB, _OF_MODEL, part="sum"),
                        by=("gen_ai.token.type", _MODEL),
                    ),
                    legend("gen_ai.token.type", _MODEL),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "tokens-per-call", "Tokens per call",
            "Tokens of an average call. Growing input means growing prompts, and bills.",
            Unit.TOKENS,
            (
                Query(
                    mean(_TOKENS, JOB, _OF_MODEL, by=("gen_ai.token.type", _MODEL)),
                    legend("gen_ai.token.type", _MODEL),
                ),
            ),
        ),
    ),
)  # fmt: skip

_TROUBLE = Row(
    "Trouble",
    "Do agents go in circles, and do providers push back?",
    (
        Panel(
            "loops", "Loops",
            "Tools per second that a run called again and again with the same arguments.",
            Unit.OPS,
            (
                Query(
                    rate(
                        series("agent.loops", JOB, _AGENT), by=(_NAME, "gen_ai.tool.name")
                    )
                    + OR_ZERO,
                    legend(_NAME, "gen_ai.tool.name"),
                ),
            ),
            thresholds=(Threshold(0.001, "warning"),),
        ),
        Panel(
            "rate-limits", "Rate limits",
            "Answers 429 per second, those included that the client got over by trying again.",
            Unit.OPS,
            (
                Query(
                    rate(series("llm.rate_limits", JOB, _OF_MODEL), by=(_MODEL,))
                    + OR_ZERO,
                    legend(_MODEL),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "llm-retries", "Retries by cause", "Requests per second that were sent again.",
            Unit.OPS,
            (
                Query(
                    rate(series("llm.retries", JOB, _OF_MODEL), by=("error.type",))
                    + OR_ZERO,
                    legend("error.type"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "abandoned", "Answers not read to their end",
            "Streamed answers per second whose reader left; they are paid for all the same.",
            Unit.OPS,
            (
                Query(
                    rate(series("llm.streams_abandoned", JOB, _OF_MODEL), by=(_MODEL,))
                    + OR_ZERO,
                    legend(_MODEL),
                ),
            ),
            stacked=True,
        ),
    ),
)  # fmt: skip

_COST = Row(
    "Cost",
    "Where does the money go?",
    (
        Panel(
            "cost-by-model", "Cost per hour by model", "US dollars per hour at the present pace.",
            Unit.USD, (Query(_cost_per_hour(_MODEL), legend(_MODEL)),),
            width=4, stacked=True, decimals=2,
        ),
        Panel(
            "cost-by-agent", "Cost per hour by agent", "US dollars per hour at the present pace.",
            Unit.USD, (Query(_cost_per_hour(_NAME), legend(_NAME)),),
            width=4, stacked=True, decimals=2,
        ),
        Panel(
            "cost-by-tenant", "Cost per hour by customer",
            "US dollars per hour at the present pace, for the ten dearest customers.",
            Unit.USD,
            (Query(f"topk(10, {_cost_per_hour('tenant.id')})", legend("tenant.id")),),
            width=4, stacked=True, decimals=2,
        ),
        Panel(
            "unknown-prices", "Calls without a known price",
            "LLM calls per second that the cost above leaves out. Above 0, add the model's price.",
            Unit.OPS,
            (
                Query(
                    rate(series("llm.unknown_price", JOB, _OF_MODEL), by=(_MODEL,))
                    + OR_ZERO,
                    legend(_MODEL),
                ),
            ),
            thresholds=(Threshold(0.001, "warning"),),
        ),
        Panel(
            "token-details", "Cached and reasoning tokens",
            "Tokens per second that have a price of their own: read from a cache, written to it, "
            "spent on reasoning.",
            Unit.TOKENS,
            (
                Query(
                    rate(series("llm.token_details", JOB, _OF_MODEL), by=("llm.token.detail",)),
                    legend("llm.token.detail"),
                ),
            ),
            stacked=True,
        ),
    ),
)  # fmt: skip

AGENTS = Dashboard(
    uid="agents",
    title="Agents",
    description="Agent runs, tools, LLM calls, tokens and cost.",
    rows=(_NOW, _RUNS, _TOOLS, _LLM, _TROUBLE, _COST),
    variables=(
        Variable("job", "Service", "label_values(gen_ai_invoke_agent_duration_seconds_count, job)"),
        Variable(
            "agent",
            "Agent",
            'label_values(gen_ai_invoke_agent_duration_seconds_count{job=~"$job"}, gen_ai_agent_name)',
        ),
        Variable(
            "model",
            "Model",
            'label_values(gen_ai_client_operation_duration_seconds_count{job=~"$job"}, '
            "gen_ai_request_model)",
        ),
    ),
)
