"""Who tries to sign in, how, and with what success."""

from __future__ import annotations

from watchkeeper.define.expr import JOB, legend, rate, series, share, where
from watchkeeper.define.model import Dashboard, Panel, Query, Row, Threshold, Unit, Variable

__all__ = ["AUTHENTICATION"]

_FAILED = where("auth.outcome", "=", "failure")
_LOGIN = where("auth.action", "=", "login")

_ATTEMPTS = Row(
    "Attempts",
    "Can people sign in, and is somebody guessing passwords?",
    (
        Panel(
            "attempts", "Attempts by outcome", "Attempts to sign in per second.",
            Unit.OPS,
            (
                Query(
                    rate(series("auth.attempts", JOB, _LOGIN), by=("auth.method", "auth.outcome")),
                    legend("auth.method", "auth.outcome"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "failure-share", "Failed attempts by method",
            "Share of attempts that failed. High for one method: that way in is broken.",
            Unit.RATIO,
            (
                Query(
                    share(
                        rate(series("auth.attempts", JOB, _LOGIN, _FAILED), by=("auth.method",)),
                        rate(series("auth.attempts", JOB, _LOGIN), by=("auth.method",)),
                    ),
                    legend("auth.method"),
                ),
            ),
            thresholds=(Threshold(0.3, "warning"), Threshold(0.6, "critical")),
        ),
        Panel(
            "failure-reasons", "Failures by reason",
            "Failed attempts per second. Many bad passwords in a row look like guessing.",
            Unit.OPS,
            (
                Query(
                    rate(series("auth.attempts", JOB, _FAILED), by=("auth.reason",))
                    + " or vector(0)",
                    legend("auth.reason"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "providers", "Attempts by provider", "Attempts per second by identity provider.",
            Unit.OPS,
            (
                Query(
                    rate(series("auth.attempts", JOB), by=("auth.provider",)),
                    legend("auth.provider"),
                ),
            ),
            stacked=True,
        ),
    ),
)  # fmt: skip

AUTHENTICATION = Dashboard(
    uid="authentication",
    title="Authentication",
    description="Attempts to sign in, by method, provider and outcome.",
    rows=(_ATTEMPTS,),
    variables=(Variable("job", "Service", "label_values(up, job)"),),
)
