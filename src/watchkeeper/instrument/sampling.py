"""The samplers that the settings ask for."""

from __future__ import annotations

from watchkeeper.clock import Clock
from watchkeeper.instrument.recorder import HeadSampler, Rules, TailLimits, TailSampler
from watchkeeper.instrument.settings import Settings, limits_of

__all__ = ["samplers"]


def samplers(settings: Settings, clock: Clock) -> tuple[HeadSampler, TailSampler | None]:
    """Return what decides at the start of traces and at their end.

    Args:
        settings: The settings in force.
        clock: Fills the quota.
    """
    rules = Rules(settings.sample_rules) if settings.sample_rules else None
    head = HeadSampler(
        settings.sample_ratio,
        rules=rules,
        excluded=(*settings.sample_exclude, settings.metrics_path),
        follow_parent=settings.sample_parent,
    )
    if not settings.sample_tail:
        return head, None
    return head, TailSampler(
        monotonic_ns=clock.monotonic_ns,
        limits=limits_of(TailLimits, settings),
        rules=rules,
        slow_s=settings.sample_slow_s,
        seen_s=settings.sample_new_s,
    )
