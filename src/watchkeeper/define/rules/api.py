"""Rules on HTTP requests that are served."""

from __future__ import annotations

from watchkeeper.define.counting import grew, share_above
from watchkeeper.define.expr import quantile, series, where
from watchkeeper.define.model import AlertRule

__all__ = ["api_error_rate", "api_latency_p95"]

_HTTP = "http.server.request.duration"


def api_error_rate(
    window: str = "5m",
    for_: str = "5m",
    threshold: float = 0.05,
    keep_firing_for: str = "5m",
    *,
    at_least: int = 5,
) -> AlertRule:
    """Return the alert on the share of requests that end in a server error.

    Args:
        window: Over which the share is taken, a Prometheus duration.
        for_: How long it must hold.
        threshold: Share of requests, 0 to 1.
        keep_firing_for: How long it keeps firing after it ended; empty for not at all.
        at_least: Failed requests in *window* below which it stays silent.
    """
    failed = grew(
        series(_HTTP, where("http.response.status_code", "=~", "5.."), part="count"),
        window,
        by=("job",),
    )
    every = grew(series(_HTTP, part="count"), window, by=("job",))
    return AlertRule(
        name="ApiErrorRate",
        expr=share_above(failed, every, threshold, at_least=at_least),
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


def api_latency_p95(
    window: str = "5m",
    for_: str = "10m",
    threshold_s: float = 2.0,
    *,
    at_least: int = 20,
    except_routes: str = "",
    keep_firing_for: str = "5m",
) -> AlertRule:
    """Return the alert on slow answers.

    Args:
        window: Over which the 95th percentile is taken.
        for_: How long it must hold.
        threshold_s: Seconds within which 19 of 20 requests are to be answered.
        at_least: Requests in *window* below which it stays silent.
        except_routes: Pattern of routes that are slow on purpose, ``/api/chat|/export`` for
            example; empty for none.
        keep_firing_for: How long it keeps firing after it ended; empty for not at all.
    """
    matchers = (where("http.route", "!~", except_routes),) if except_routes else ()
    slow = quantile(0.95, _HTTP, *matchers, by=("job",), window=window)
    many = grew(series(_HTTP, *matchers, part="count"), window, by=("job",))
    return AlertRule(
        name="ApiLatencyP95",
        expr=f"{slow} > {threshold_s:g}\nand {many} >= {at_least}",
        severity="page",
        for_=for_,
        keep_firing_for=keep_firing_for,
        summary="{{ $labels.job }} is slow: p95 is {{ $value | humanizeDuration }}",
        description=(
            f"Over the last {window}, one request in twenty to {{{{ $labels.job }}}} took longer "
            f"than {{{{ $value | humanizeDuration }}}}. The limit is {threshold_s:g} s."
        ),
        runbook="api-latency.md",
        dashboard="overview#latency",
    )
