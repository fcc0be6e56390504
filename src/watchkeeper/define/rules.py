"""The alert rules that ship with watchkeeper.

Each rule is a function whose parameters are its windows and limits, so that a user tightens a
rule by calling it, and the demo runs the same rules with windows of seconds.
"""

from __future__ import annotations

from typing import Literal

from watchkeeper.define.expr import count, quantile, rate, series, total, where
from watchkeeper.define.model import AlertRule, RuleGroup

__all__ = [
    "Profile",
    "api_error_rate",
    "api_latency_p95",
    "db_pool_saturated",
    "llm_spend_spike",
    "login_failures_surge",
    "queue_depth",
    "shipped_rules",
    "target_down",
    "telemetry_dropped",
    "watchdog",
]

Profile = Literal["production", "demo"]

_HTTP = "http.server.request.duration"


def api_error_rate(
    window: str = "5m", for_: str = "5m", threshold: float = 0.05, keep_firing_for: str = ""
) -> AlertRule:
    """Return the alert on the share of requests that end in a server error.

    Args:
        window: Over which the share is taken, a Prometheus duration.
        for_: How long it must hold.
        threshold: Share of requests, 0 to 1.
        keep_firing_for: How long it keeps firing after it ended; empty for not at all.
    """
    failed = count(
        _HTTP, where("http.response.status_code", "=~", "5.."), by=("job",), window=window
    )
    return AlertRule(
        name="ApiErrorRate",
        expr=f"{failed} / {count(_HTTP, by=('job',), window=window)} > {threshold:g}",
        severity="page",
        for_=for_,
        keep_firing_for=keep_firing_for,
        summary="{{ $labels.job }} fails {{ $value | humanizePercentage }} of its requests",
        description=(
            "Over the last "
            f"{window}, {{{{ $value | humanizePercentage }}}} of the HTTP requests to "
            f"{{{{ $labels.job }}}} ended in a server error. The limit is {threshold:.4g}."
        ),
        runbook="api-error-rate.md",
        dashboard="overview#error-ratio",
    )


def api_latency_p95(window: str = "5m", for_: str = "10m", threshold_s: float = 2.0) -> AlertRule:
    """Return the alert on slow answers; *threshold_s* is in seconds."""
    return AlertRule(
        name="ApiLatencyP95",
        expr=f"{quantile(0.95, _HTTP, by=('job',), window=window)} > {threshold_s:g}",
        severity="page",
        for_=for_,
        summary="{{ $labels.job }} is slow: p95 is {{ $value | humanizeDuration }}",
        description=(
            f"Over the last {window}, one request in twenty to {{{{ $labels.job }}}} took longer "
            f"than {{{{ $value | humanizeDuration }}}}. The limit is {threshold_s:g} s."
        ),
        runbook="api-latency.md",
        dashboard="overview#latency",
    )


def queue_depth(threshold: int = 1_000, for_: str = "10m") -> AlertRule:
    """Return the alert on a queue with more than *threshold* waiting jobs."""
    waiting = total(series("job.queue.depth"), by=("job", "job.queue"), op="max")
    return AlertRule(
        name="QueueDepth",
        expr=f"{waiting} > {threshold}",
        severity="ticket",
        for_=for_,
        summary="{{ $value | humanize }} jobs wait in queue {{ $labels.job_queue }}",
        description=(
            "Queue {{ $labels.job_queue }} of {{ $labels.job }} holds {{ $value | humanize }} "
            f"waiting jobs. The limit is {threshold}."
        ),
        runbook="queue-depth.md",
        dashboard="overview#queue-depth",
    )


def db_pool_saturated(threshold: float = 0.9, for_: str = "5m") -> AlertRule:
    """Return the alert on a connection pool of which more than the share *threshold* is in use."""
    by = ("job", "instance", "db.client.connection.pool.name")
    used = total(
        series("db.client.connection.count", where("db.client.connection.state", "=", "used")),
        by=by,
    )
    most = total(series("db.client.connection.max"), by=by)
    return AlertRule(
        name="DbPoolSaturated",
        expr=f"{used} / {most} > {threshold:g}",
        severity="page",
        for_=for_,
        summary=(
            "{{ $labels.job }} has almost no database connections left: "
            "{{ $value | humanizePercentage }} in use"
        ),
        description=(
            "{{ $value | humanizePercentage }} of the connections of pool "
            "{{ $labels.db_client_connection_pool_name }} on {{ $labels.instance }} are in use. "
            "Requests that need another one wait."
        ),
        runbook="db-pool-saturated.md",
        dashboard="overview#db-pool",
    )


def llm_spend_spike(
    budget_usd_per_hour: float = 10.0, window: str = "15m", for_: str = "5m"
) -> AlertRule:
    """Return the alert on LLM calls that cost more than the budget, in US dollars per hour."""
    spent = rate(series("llm.cost"), by=("job",), window=window)
    return AlertRule(
        name="LlmSpendSpike",
        expr=f"{spent} * 3600 > {budget_usd_per_hour:g}",
        severity="page",
        for_=for_,
        summary='{{ $labels.job }} spends ${{ $value | printf "%.2f" }} an hour on LLM calls',
        description=(
            f"At the pace of the last {window}, {{{{ $labels.job }}}} spends "
            '${{ $value | printf "%.2f" }} an hour on LLM calls. '
            f"The budget is ${budget_usd_per_hour:.2f} an hour."
        ),
        runbook="llm-spend-spike.md",
        dashboard="agents#cost-by-model",
    )


def login_failures_surge(
    per_minute: float = 30.0, window: str = "5m", for_: str = "2m"
) -> AlertRule:
    """Return the alert on more than *per_minute* failed attempts to sign in."""
    failed = rate(
        series(
            "auth.attempts",
            where("auth.action", "=", "login"),
            where("auth.outcome", "=", "failure"),
        ),
        by=("job",),
        window=window,
    )
    return AlertRule(
        name="LoginFailuresSurge",
        expr=f"{failed} * 60 > {per_minute:g}",
        severity="ticket",
        for_=for_,
        summary="{{ $value | humanize }} failed logins a minute on {{ $labels.job }}",
        description=(
            f"Over the last {window}, {{{{ $value | humanize }}}} attempts a minute to sign in to "
            f"{{{{ $labels.job }}}} failed. The limit is {per_minute:g}."
        ),
        runbook="login-failures-surge.md",
        dashboard="authentication#failure-reasons",
    )


def target_down(for_: str = "2m") -> AlertRule:
    """Return the alert on a process whose metrics cannot be read."""
    return AlertRule(
        name="TargetDown",
        expr="up == 0",
        severity="page",
        for_=for_,
        summary="{{ $labels.job }} on {{ $labels.instance }} does not answer",
        description=(
            "The metrics of {{ $labels.job }} at {{ $labels.instance }} cannot be read. "
            "The process is gone, hangs, or cannot be reached."
        ),
        runbook="target-down.md",
        dashboard="overview#instances-up",
    )


def telemetry_dropped(window: str = "10m", for_: str = "0s") -> AlertRule:
    """Return the alert on telemetry that was lost.

    The second half sees a counter that appeared with its first loss, which has no increase yet.
    """
    dropped = series("watchkeeper.telemetry.dropped")
    by = "sum by (job, signal, reason)"
    return AlertRule(
        name="TelemetryDropped",
        expr=(
            f"{by} (increase({dropped}[{window}])) > 0 "
            f"or {by} ({dropped} unless {dropped} offset {window}) > 0"
        ),
        severity="ticket",
        for_=for_,
        summary="{{ $labels.job }} loses {{ $labels.signal }}: {{ $labels.reason }}",
        description=(
            f"In the last {window}, about {{{{ $value | humanize }}}} {{{{ $labels.signal }}}} of "
            "{{ $labels.job }} were dropped, reason {{ $labels.reason }}. Charts may have holes."
        ),
        runbook="telemetry-dropped.md",
        dashboard="overview#telemetry-dropped",
    )


def watchdog() -> AlertRule:
    """Return the alert that always fires, so that its absence shows that alerting is broken."""
    return AlertRule(
        name="Watchdog",
        expr="vector(1)",
        severity="none",
        summary="Alerting works",
        description="This alert always fires. When it is missing, no alert can be trusted.",
        runbook="watchdog.md",
        dashboard="overview#alerts-firing",
    )


def shipped_rules(profile: Profile = "production") -> tuple[RuleGroup, ...]:
    """Return the rules that ship with watchkeeper.

    Args:
        profile: ``production``, or ``demo`` with windows of seconds, so that a fault is alerted
            on within half a minute.
    """
    if profile == "demo":
        rules = (
            api_error_rate(window="20s", for_="5s"),
            api_latency_p95(window="30s", for_="10s"),
            queue_depth(for_="10s"),
            db_pool_saturated(for_="5s"),
            llm_spend_spike(window="1m", for_="10s"),
            login_failures_surge(window="30s", for_="5s"),
            target_down(for_="10s"),
            telemetry_dropped(window="1m"),
            watchdog(),
        )
        return (RuleGroup("watchkeeper", rules, interval="2s"),)
    rules = (
        api_error_rate(),
        api_latency_p95(),
        queue_depth(),
        db_pool_saturated(),
        llm_spend_spike(),
        login_failures_surge(),
        target_down(),
        telemetry_dropped(),
        watchdog(),
    )
    return (RuleGroup("watchkeeper", rules),)
