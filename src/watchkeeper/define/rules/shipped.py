"""The rules that ship, with the windows and limits of each profile."""

from __future__ import annotations

from typing import Literal

from watchkeeper.define.model import RuleGroup
from watchkeeper.define.rules.agents import agent_loops, agent_success_rate, tool_failures
from watchkeeper.define.rules.api import api_error_rate, api_latency_p95
from watchkeeper.define.rules.auth import login_failures_surge, oauth_provider_failing
from watchkeeper.define.rules.database import db_connection_failures, db_pool_saturated
from watchkeeper.define.rules.host import (
    disk_full_soon,
    event_loop_lag,
    health_check_failing,
    memory_growth,
    target_down,
)
from watchkeeper.define.rules.ingestion import (
    ingestion_failing,
    ingestion_rejecting,
    ingestion_stale,
    ingestion_stalled,
)
from watchkeeper.define.rules.jobs import (
    job_dead_letters,
    job_failures,
    job_missed_runs,
    job_overdue,
    queue_depth,
)
from watchkeeper.define.rules.llm import (
    llm_budget_exceeded,
    llm_model_budget_exceeded,
    llm_spend_spike,
    llm_spent_last_hour,
    llm_tenant_budget_exceeded,
    llm_unknown_price,
)
from watchkeeper.define.rules.telemetry import telemetry_dropped, watchdog

__all__ = ["Profile", "shipped_rules"]

Profile = Literal["production", "demo"]


def shipped_rules(profile: Profile = "production") -> tuple[RuleGroup, ...]:
    """Return the rules that ship with watchkeeper, grouped by what they watch.

    Args:
        profile: ``production``, or ``demo`` with windows of seconds, so that a fault is alerted
            on within half a minute, and with limits above the mishaps that the demo stages all the
            time.
    """
    return _demo() if profile == "demo" else _production()


def _production() -> tuple[RuleGroup, ...]:
    return (
        RuleGroup("watchkeeper-api", (api_error_rate(), api_latency_p95())),
        RuleGroup("watchkeeper-database", (db_connection_failures(), db_pool_saturated())),
        RuleGroup(
            "watchkeeper-llm",
            (
                llm_spent_last_hour(),
                llm_budget_exceeded(),
                llm_spend_spike(),
                llm_tenant_budget_exceeded(),
                llm_model_budget_exceeded(),
                llm_unknown_price(),
            ),
            interval="1m",
        ),
        RuleGroup("watchkeeper-agents", (agent_success_rate(), agent_loops(), tool_failures())),
        RuleGroup(
            "watchkeeper-ingestion",
            (ingestion_stalled(), ingestion_stale(), ingestion_failing(), ingestion_rejecting()),
        ),
        RuleGroup(
            "watchkeeper-jobs",
            (queue_depth(), job_failures(), job_missed_runs(), job_overdue(), job_dead_letters()),
        ),
        RuleGroup("watchkeeper-auth", (login_failures_surge(), oauth_provider_failing())),
        RuleGroup(
            "watchkeeper-host",
            (
                target_down(),
                health_check_failing(),
                disk_full_soon(),
                memory_growth(),
                event_loop_lag(),
            ),
        ),
        RuleGroup("watchkeeper-telemetry", (telemetry_dropped(), watchdog())),
    )


def _demo() -> tuple[RuleGroup, ...]:
    rules = {
        "api": (
            api_error_rate(window="20s", for_="5s", keep_firing_for=""),
            api_latency_p95(window="30s", for_="10s", keep_firing_for=""),
        ),
        "database": (
            db_connection_failures(window="30s", for_="5s"),
            db_pool_saturated(for_="5s"),
        ),
        "llm": (
            llm_spent_last_hour(),
            llm_budget_exceeded(window="1m", for_="10s"),
            llm_spend_spike(),
            llm_tenant_budget_exceeded(window="1m", for_="10s"),
            llm_model_budget_exceeded(window="1m", for_="10s"),
            # AgentDesk runs this one itself.
            llm_unknown_price(window="1m", free_models="desk-mini-1"),
        ),
        "agents": (
            agent_success_rate(window="1m", for_="10s"),
            agent_loops(window="1m"),
            # One call in five of this demo's outside service fails at all times.
            tool_failures(0.5, window="1m", for_="10s"),
        ),
        "ingestion": (
            ingestion_stalled(window="1m", for_="10s"),
            ingestion_stale(max_age="5m", for_="10s"),
            ingestion_failing(window="1m", for_="10s"),
            # People upload empty documents at all times.
            ingestion_rejecting(0.5, window="1m", for_="10s"),
        ),
        "jobs": (
            queue_depth(for_="10s"),
            # A job that fails at times, one that always expires, and a schedule that is often late
            # are part of the show.
            job_failures(0.5, window="1m", for_="10s"),
            job_missed_runs(window="1m", at_least=15),
            job_overdue(intervals=10, for_="10s"),
            job_dead_letters(window="1m", at_least=30),
        ),
        "auth": (
            login_failures_surge(window="30s", for_="5s"),
            oauth_provider_failing(window="1m", for_="5s"),
        ),
        "host": (
            target_down(for_="10s"),
            health_check_failing(window="30s", for_="5s"),
            disk_full_soon(within="10m", window="5m", for_="10s"),
            memory_growth(window="30m", for_="1m"),
            # Longer than the half minute that one block is seen.
            event_loop_lag(for_="40s"),
        ),
        "telemetry": (telemetry_dropped(window="1m"), watchdog()),
    }
    return tuple(
        RuleGroup(f"watchkeeper-{name}", group, interval="2s") for name, group in rules.items()
    )
