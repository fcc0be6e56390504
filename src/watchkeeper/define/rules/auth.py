"""Rules on attempts to sign in."""

from __future__ import annotations

from watchkeeper.define.counting import grew, share_above
from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import series, where
from watchkeeper.define.model import AlertRule

__all__ = ["login_failures_surge", "oauth_provider_failing"]

_FAILED = where("auth.outcome", "=", "failure")
_OF_USERS = (
    "access_denied|login_required|consent_required|interaction_required|account_selection_required"
)
"""Error codes that tell what a person did or has yet to do (RFC 6749, OpenID Connect Core 3.1.2.6)."""


def login_failures_surge(
    per_minute: float = 30.0, window: str = "5m", for_: str = "2m"
) -> AlertRule:
    """Return the alert on more than *per_minute* failed attempts to sign in."""
    failed = grew(
        series("auth.attempts", where("auth.action", "=", "login"), _FAILED), window, by=("job",)
    )
    return AlertRule(
        name="LoginFailuresSurge",
        expr=f"{failed} * {60 / seconds(window):g} > {per_minute:g}",
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


def oauth_provider_failing(
    threshold: float = 0.5, window: str = "10m", for_: str = "2m", *, at_least: int = 5
) -> AlertRule:
    """Return the alert on an identity provider through which sign-ins and refreshes fail.

    What people did themselves, such as to refuse consent, is left out.

    Args:
        threshold: Share of the attempts, 0 to 1.
        window: Over which the share is taken.
        for_: How long it must hold.
        at_least: Failed attempts in *window* below which it stays silent.
    """
    by = ("job", "auth.provider")
    matchers = (where("auth.method", "=", "oauth"), where("auth.reason", "!~", _OF_USERS))
    failed = grew(series("auth.attempts", *matchers, _FAILED), window, by=by)
    return AlertRule(
        name="OAuthProviderFailing",
        expr=share_above(
            failed,
            grew(series("auth.attempts", *matchers), window, by=by),
            threshold,
            at_least=at_least,
        ),
        severity="page",
        for_=for_,
        summary=(
            "Signing in with {{ $labels.auth_provider }} fails: "
            "{{ $value | humanizePercentage }} of the attempts"
        ),
        description=(
            f"Over the last {window}, {{{{ $value | humanizePercentage }}}} of the OAuth attempts of "
            "{{ $labels.job }} with {{ $labels.auth_provider }} failed, those not counted that "
            f"people broke off. The limit is {threshold:.4g}."
        ),
        runbook="oauth-provider-failing.md",
        dashboard="authentication#failure-share",
    )
