"""Service level objectives as recording rules and burn-rate alerts.

The method is that of The Site Reliability Workbook, chapter 5, "Alerting on SLOs", section
"Multiwindow, Multi-Burn-Rate Alerts": an alert fires while the error budget is spent too fast over a
long window, and still is over a short one, a twelfth as long, so that it ends soon after the trouble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

from watchkeeper.define.counting import grew
from watchkeeper.define.duration import seconds
from watchkeeper.define.expr import series, share, where
from watchkeeper.define.model import AlertRule, RecordingRule, RuleGroup, Severity

__all__ = [
    "BURNS",
    "Availability",
    "Burn",
    "Latency",
    "Ratio",
    "Slo",
    "rules_per_slo",
    "slo_rules",
]

_HTTP = "http.server.request.duration"


class Burn(NamedTuple):
    """A pace of spending that somebody is told about."""

    budget: Decimal
    """Share of the whole budget that is spent in the long window at this pace."""
    long: str
    short: str
    severity: Severity


BURNS = (
    Burn(Decimal("0.02"), "1h", "5m", "page"),
    Burn(Decimal("0.05"), "6h", "30m", "page"),
    Burn(Decimal("0.1"), "1d", "2h", "ticket"),
    Burn(Decimal("0.1"), "3d", "6h", "ticket"),
)
"""Of a budget for 30 days these are the burn rates 14.4, 6, 3 and 1."""

_FAST = ("5m", "30m", "1h", "2h")
_SLOW = ("6h", "1d", "3d")
"""Windows that move slowly are computed less often, since they read much."""


class Events(Protocol):
    """What an objective counts; each method returns PromQL whose value is a number of events."""

    @property
    def dashboard(self) -> str:
        """Where the events are charted, ``uid#panel``; empty if nowhere."""

    def bad(self, window: str) -> str:
        """Return how many events of *window* were bad; no series where there were none."""

    def total(self, window: str) -> str:
        """Return how many events there were in *window*."""


@dataclass(frozen=True, slots=True)
class Availability:
    """HTTP requests; bad are those that ended in a server error (status 500 to 599)."""

    job: str = ""
    """Of this service only; empty for all."""
    route: str = ""
    """To this route only; empty for all."""
    dashboard: str = "overview#error-ratio"

    def bad(self, window: str) -> str:
        """Return how many requests of *window* ended in a server error."""
        failed = where("http.response.status_code", "=~", "5..")
        return grew(series(_HTTP, *_of(self.job, self.route), failed, part="count"), window)

    def total(self, window: str) -> str:
        """Return how many requests there were in *window*."""
        return grew(series(_HTTP, *_of(self.job, self.route), part="count"), window)


@dataclass(frozen=True, slots=True)
class Latency:
    """HTTP requests; bad are those that took longer than *threshold_s*, failed or not."""

    threshold_s: float
    """Seconds; a bound of the histogram's buckets."""
    job: str = ""
    route: str = ""
    dashboard: str = "overview#latency-by-route"

    def bad(self, window: str) -> str:
        """Return how many requests of *window* were too slow."""
        # Prometheus 2 keeps a bound as it was written, 3 writes whole ones with a fraction.
        bound = f"{self.threshold_s:g}"
        le = where("le", "=~", rf"{bound}(\.0)?") if "." not in bound else where("le", "=", bound)
        quick = grew(series(_HTTP, *_of(self.job, self.route), le, part="bucket"), window)
        whole = self.total(window)
        # Without the bucket everything counts as slow: loud, where silence would look like success.
        return f"{whole} - ({quick} or {whole} * 0)"

    def total(self, window: str) -> str:
        """Return how many requests there were in *window*."""
        return grew(series(_HTTP, *_of(self.job, self.route), part="count"), window)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Events of any sort, counted by two expressions."""

    good: str
    """PromQL: how many events were good in ``$window``."""
    all: str
    """PromQL: how many there were in ``$window``, with the same labels."""
    dashboard: str = ""

    def bad(self, window: str) -> str:
        """Return how many events of *window* were not good; all, if nothing counts good ones yet."""
        whole = self.total(window)
        return f"{whole} - (({self.good.replace('$window', window)}) or {whole} * 0)"

    def total(self, window: str) -> str:
        """Return how many events there were in *window*."""
        return f"({self.all.replace('$window', window)})"


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective: this share of the events is to be good."""

    name: str
    objective: Decimal
    """Percent, such as 99.9."""
    events: Events
    window: str = "30d"
    """Time for which the error budget is meant."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """On everything that is recorded, and on the alerts."""
    least_failures: int = 5
    """Bad events in an alert's long window below which it stays silent."""

    @property
    def budget(self) -> Decimal:
        """The share of events that may be bad."""
        return (100 - self.objective) / 100


def rules_per_slo() -> int:
    """Return how many rules one objective becomes at most."""
    return 3 * len((*_FAST, *_SLOW)) + len(BURNS)


def slo_rules(slos: Sequence[Slo]) -> tuple[RuleGroup, ...]:
    """Return the rules of *slos*: two groups of recording rules and one of alerts for each.

    A pace at which more events would be bad than there are, which an objective below 93.1 % has,
    becomes no alert: it could not fire.
    """
    return tuple(group for slo in slos for group in _groups(slo))


def _groups(slo: Slo) -> tuple[RuleGroup, ...]:
    fast, slow = (
        tuple(rule for window in windows for rule in _records(slo, window))
        for windows in (_FAST, _SLOW)
    )
    alerts = tuple(_alert(slo, burn) for burn in BURNS if _burn_rate(slo, burn) * slo.budget < 1)
    return (
        RuleGroup(f"slo-{slo.name}", fast),
        RuleGroup(f"slo-{slo.name}-slow", slow, interval="2m"),
        RuleGroup(f"slo-{slo.name}-alerts", alerts),
    )


def _records(slo: Slo, window: str) -> list[RecordingRule]:
    """Return how many events there were, how many of them were bad, and the share of these."""
    labels = {"slo": slo.name, **slo.labels}
    events, bad = (_recorded(slo, name, window) for name in ("events", "bad_events"))
    # Growth is estimated, so that what was good can come out as a little more than all there was.
    return [
        RecordingRule(f"slo:events:over{window}", slo.events.total(window), labels),
        RecordingRule(
            f"slo:bad_events:over{window}", f"clamp_min({slo.events.bad(window)}, 0)", labels
        ),
        RecordingRule(f"slo:error_ratio:over{window}", share(bad, f"({events} > 0)"), labels),
    ]


def _recorded(slo: Slo, what: str, window: str) -> str:
    return f'slo:{what}:over{window}{{slo="{slo.name}"}}'


def _alert(slo: Slo, burn: Burn) -> AlertRule:
    rate, budget = f"{float(_burn_rate(slo, burn)):.4g}", f"{slo.budget.normalize():f}"
    long, short = (_recorded(slo, "error_ratio", window) for window in (burn.long, burn.short))
    return AlertRule(
        name="SloBurnRate",
        expr=(
            f"{long} / {budget} > {rate}\nand {short} / {budget} > {rate}\n"
            f"and {_recorded(slo, 'bad_events', burn.long)} >= {slo.least_failures}"
        ),
        severity=burn.severity,
        labels={"slo": slo.name, "long_window": burn.long, "short_window": burn.short},
        summary=(
            "SLO {{ $labels.slo }} spends its error budget "
            '{{ $value | printf "%.1f" }} times too fast'
        ),
        description=(
            f"Over the last {burn.long} and the last {burn.short}, SLO {{{{ $labels.slo }}}} spent "
            f"its error budget more than {rate} times as fast as the objective of "
            f"{slo.objective} % allows. At that pace, {burn.budget:.0%} of the budget for "
            f"{slo.window} is gone in {burn.long}."
        ),
        runbook="slo-burn-rate.md",
        dashboard=slo.events.dashboard,
    )


def _burn_rate(slo: Slo, burn: Burn) -> Decimal:
    return burn.budget * Decimal(seconds(slo.window)) / Decimal(seconds(burn.long))


def _of(job: str, route: str) -> tuple[str, ...]:
    chosen = (("job", job), ("http.route", route))
    return tuple(where(name, "=", value) for name, value in chosen if value)
