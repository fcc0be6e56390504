"""Rules on what LLM calls cost."""

from __future__ import annotations

import re
from collections.abc import Mapping

from watchkeeper.define.counting import grew
from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import series, where
from watchkeeper.define.model import AlertRule, RecordingRule
from watchkeeper.errors import DefinitionError

__all__ = [
    "llm_budget_exceeded",
    "llm_model_budget_exceeded",
    "llm_spend_spike",
    "llm_spent_last_hour",
    "llm_tenant_budget_exceeded",
    "llm_unknown_price",
]

_SPENT = "job:llm_cost_usd:increase1h"
_DOLLARS = '${{ $value | printf "%.2f" }}'
_TENANT, _MODEL = "tenant.id", "gen_ai.request.model"


def _per_hour(window: str) -> str:
    factor = 3_600 / seconds(window)
    return "" if factor == 1 else f" * {factor:g}"


def llm_budget_exceeded(
    budget_usd_per_hour: float = 10.0, window: str = "1h", for_: str = "1m"
) -> AlertRule:
    """Return the alert on a service whose LLM calls cost more than its budget.

    Args:
        budget_usd_per_hour: US dollars per hour.
        window: Over which the cost is taken; what it was is converted to an hour.
        for_: How long it must hold.
    """
    spent = grew(series("llm.cost"), window, by=("job",))
    return AlertRule(
        name="LlmBudgetExceeded",
        expr=f"{spent}{_per_hour(window)} > {budget_usd_per_hour:g}",
        severity="page",
        for_=for_,
        summary=f"{{{{ $labels.job }}}} spends {_DOLLARS} an hour on LLM calls",
        description=(
            f"By the last {window}, the LLM calls of {{{{ $labels.job }}}} cost {_DOLLARS} an hour. "
            f"The budget is ${budget_usd_per_hour:.2f} an hour."
        ),
        runbook="llm-budget-exceeded.md",
        dashboard="agents#cost-by-model",
    )


def llm_spent_last_hour() -> RecordingRule:
    """Return the rule that keeps what each service spent in the last hour, for `llm_spend_spike`."""
    return RecordingRule(_SPENT, grew(series("llm.cost"), "1h", by=("job",)))


def llm_spend_spike(factor: float = 3.0, at_least_usd: float = 2.0, for_: str = "5m") -> AlertRule:
    """Return the alert on an hour that costs several times the usual; needs `llm_spent_last_hour`.

    Usual is the dearest hour that ended around this time of day (90 minutes to either side) one day,
    two days or a week ago. With less than a week of history, the hour must also exceed every hour of
    the time before, and with less than a day it stays silent: the budget alone speaks then.

    Args:
        factor: Times the usual.
        at_least_usd: US dollars in the last hour below which it stays silent.
        for_: How long it must hold.
    """
    seen = [
        f"{_SPENT} <= {factor:g} * max_over_time({_SPENT}[3h] offset {offset})"
        for offset in ("22h30m", "46h30m", "166h30m")
    ]
    above_all = f"{_SPENT} > {factor:g} * (max_over_time({_SPENT}[1w] offset 1h30m) > 0)"
    known = f"({_SPENT} offset 1w or {_SPENT} offset 1d and {above_all})"
    return AlertRule(
        name="LlmSpendSpike",
        expr="\nunless ".join((f"{_SPENT} > {at_least_usd:g}\nand {known}", *seen)),
        severity="ticket",
        for_=for_,
        summary=f"{{{{ $labels.job }}}} spent {_DOLLARS} on LLM calls in an hour, far above the usual",
        description=(
            f"The LLM calls of {{{{ $labels.job }}}} cost {_DOLLARS} in the last hour: more than "
            f"{factor:g} times the dearest hour around this time of earlier days."
        ),
        runbook="llm-spend-spike.md",
        dashboard="agents#cost-by-model",
    )


def llm_tenant_budget_exceeded(
    limits: Mapping[str, float] | None = None,
    default: float | None = 5.0,
    window: str = "1h",
    for_: str = "1m",
) -> AlertRule:
    """Return the alert on a customer for whom LLM calls cost more than the customer's budget.

    Args:
        limits: US dollars per hour for each ``tenant.id``.
        default: Likewise for every other one; None for no limit.
        window: Over which the cost is taken; what it was is converted to an hour.
        for_: How long it must hold.

    Raises:
        DefinitionError: There is neither a limit nor a default.
    """
    return AlertRule(
        name="LlmTenantBudgetExceeded",
        expr=_above_budgets(_TENANT, limits or {}, default, window),
        severity="ticket",
        for_=for_,
        summary=f"Customer {{{{ $labels.tenant_id }}}} costs {_DOLLARS} an hour in LLM calls",
        description=(
            f"By the last {window}, the LLM calls for customer {{{{ $labels.tenant_id }}}} cost "
            f"{_DOLLARS} an hour. {_budgets(limits or {}, default)}"
        ),
        runbook="llm-tenant-budget-exceeded.md",
        dashboard="agents#cost-by-tenant",
    )


def llm_model_budget_exceeded(
    limits: Mapping[str, float] | None = None,
    default: float | None = 5.0,
    window: str = "1h",
    for_: str = "1m",
) -> AlertRule:
    """Return the alert on a model whose calls cost more than its budget.

    Args:
        limits: US dollars per hour for each model, by the name that is asked for.
        default: Likewise for every other one; None for no limit.
        window: Over which the cost is taken; what it was is converted to an hour.
        for_: How long it must hold.

    Raises:
        DefinitionError: There is neither a limit nor a default.
    """
    return AlertRule(
        name="LlmModelBudgetExceeded",
        expr=_above_budgets(_MODEL, limits or {}, default, window),
        severity="ticket",
        for_=for_,
        summary=f"Model {{{{ $labels.gen_ai_request_model }}}} costs {_DOLLARS} an hour",
        description=(
            f"By the last {window}, calls of model {{{{ $labels.gen_ai_request_model }}}} cost "
            f"{_DOLLARS} an hour. {_budgets(limits or {}, default)}"
        ),
        runbook="llm-model-budget-exceeded.md",
        dashboard="agents#cost-by-model",
    )


def _above_budgets(
    attribute: str, limits: Mapping[str, float], default: float | None, window: str
) -> str:
    chosen: list[tuple[tuple[str, ...], float]] = [
        ((where(attribute, "=", name),), limit) for name, limit in limits.items()
    ]
    if default is not None:
        others = [where(attribute, "!=", "")]
        if limits:
            others.append(where(attribute, "!~", "|".join(map(re.escape, limits))))
        chosen.append((tuple(others), default))
    if not chosen:
        raise DefinitionError.explain(
            f"a rule on budgets by {attribute} has no budget",
            got=dict(limits),
            accepted="a limit for at least one name, or a default",
            next_step="give one, or leave the rule out",
        )
    return "\nor ".join(
        f"{grew(series('llm.cost', *matchers), window, by=(attribute,))}{_per_hour(window)}"
        f" > {limit:g}"
        for matchers, limit in chosen
    )


def _budgets(limits: Mapping[str, float], default: float | None) -> str:
    named = [f"${limit:.2f} for {name}" for name, limit in limits.items()]
    if default is not None:
        named.append(f"${default:.2f} for each other" if named else f"${default:.2f} for each")
    return f"Budgets for an hour: {', '.join(named)}."


def llm_unknown_price(
    window: str = "1h", for_: str = "0s", *, at_least: int = 1, free_models: str = ""
) -> AlertRule:
    """Return the alert on LLM calls whose cost is not known, so that no budget sees them.

    Args:
        window: In which calls are counted.
        for_: How long it must hold.
        at_least: Calls of one model in *window*.
        free_models: Pattern of models that cost nothing, such as those that run on own machines.
    """
    matchers = (where(_MODEL, "!~", free_models),) if free_models else ()
    calls = grew(
        series("llm.unknown_price", *matchers), window, by=("job", "gen_ai.provider.name", _MODEL)
    )
    return AlertRule(
        name="LlmUnknownPrice",
        expr=f"{calls} >= {at_least}",
        severity="ticket",
        for_=for_,
        summary="The price of model {{ $labels.gen_ai_request_model }} is not known",
        description=(
            f"In the last {window}, {{{{ $labels.job }}}} made {{{{ $value | humanize }}}} calls of "
            "model {{ $labels.gen_ai_request_model }} of {{ $labels.gen_ai_provider_name }}, which "
            "no price list has. Costs and budgets leave them out."
        ),
        runbook="llm-unknown-price.md",
        dashboard="agents#unknown-prices",
    )
