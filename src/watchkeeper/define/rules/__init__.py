"""The alert rules that ship with watchkeeper, one module for each part of a backend.

Each rule is a function whose parameters are its windows and limits, so that a user tightens a
rule by calling it, and the demo runs the same rules with windows of seconds.
"""

from __future__ import annotations

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
from watchkeeper.define.rules.shipped import Profile, shipped_rules
from watchkeeper.define.rules.telemetry import telemetry_dropped, watchdog

__all__ = [
    "Profile",
    "agent_loops",
    "agent_success_rate",
    "api_error_rate",
    "api_latency_p95",
    "db_connection_failures",
    "db_pool_saturated",
    "disk_full_soon",
    "event_loop_lag",
    "health_check_failing",
    "ingestion_failing",
    "ingestion_rejecting",
    "ingestion_stale",
    "ingestion_stalled",
    "job_dead_letters",
    "job_failures",
    "job_missed_runs",
    "job_overdue",
    "llm_budget_exceeded",
    "llm_model_budget_exceeded",
    "llm_spend_spike",
    "llm_spent_last_hour",
    "llm_tenant_budget_exceeded",
    "llm_unknown_price",
    "login_failures_surge",
    "memory_growth",
    "oauth_provider_failing",
    "queue_depth",
    "shipped_rules",
    "target_down",
    "telemetry_dropped",
    "tool_failures",
    "watchdog",
]
