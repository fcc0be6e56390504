"""Who tries to sign in, how, with what success, and how many they are."""

from __future__ import annotations

from watchkeeper.define.expr import JOB, OR_ZERO, legend, rate, series, share, total, where
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
                    + OR_ZERO,
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

_USERS = Row(
    "Users",
    "How many people are there, and how many come anew?",
    (
        Panel(
            "active-users", "Users of the day",
            "Different users of today so far and of yesterday (UTC). Each service counts its own; "
            "this is the one that saw most.",
            Unit.COUNT,
            (
                Query(
                    total(series("users.active", JOB), by=("day",), op="max"),
                    legend("day"), instant=True,
                ),
            ),
            kind="bar", width=4, decimals=0,
        ),
        Panel(
            "active-users-over-time", "Users of the day over time",
            "How many different users each day (UTC) has had so far.",
            Unit.COUNT,
            (
                Query(
                    total(series("users.active", JOB), by=("day",), op="max"),
                    legend("day"),
                ),
            ),
            width=4,
        ),
        Panel(
            "registrations", "Registrations", "New users per second, by the way they came in.",
            Unit.OPS,
            (
                Query(
                    rate(series("users.registered", JOB), by=("auth.method", "auth.provider"))
                    + OR_ZERO,
                    legend("auth.method", "auth.provider"),
                ),
            ),
            width=4, stacked=True,
        ),
    ),
)  # fmt: skip

AUTHENTICATION = Dashboard(
    uid="authentication",
    title="Sign-in and users",
    description="Attempts to sign in, and the users of each day.",
    rows=(_ATTEMPTS, _USERS),
    variables=(Variable("job", "Service", "label_values(up, job)"),),
)
