"""Rules on telemetry and alerting themselves."""

from __future__ import annotations

from watchkeeper.define.counting import grew
from watchkeeper.define.expr import series
from watchkeeper.define.model import AlertRule

__all__ = ["telemetry_dropped", "watchdog"]


def telemetry_dropped(window: str = "10m", for_: str = "0s") -> AlertRule:
    """Return the alert on telemetry that was lost."""
    lost = grew(series("watchkeeper.telemetry.dropped"), window, by=("job", "signal", "reason"))
    return AlertRule(
        name="TelemetryDropped",
        expr=f"{lost} > 0",
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
