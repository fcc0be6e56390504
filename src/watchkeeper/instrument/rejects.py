"""Rejected items by reason, with a bounded set of reasons."""

from __future__ import annotations

from collections.abc import Iterable

from watchkeeper.instrument.metrics import MetricSet
from watchkeeper.vocabulary.limits import LIMITS, limit

__all__ = ["Rejects"]

_OTHER = "_other"


class Rejects:
    """Counts rejects; the first reasons of each pipeline are labels, the others share one."""

    def __init__(self, metrics: MetricSet) -> None:
        self.reasons_max = limit("reject_reasons_max")
        self._rejects = metrics.counter("pipeline.rejects")
        self._folded = metrics.counter("watchkeeper.metric.overflow").child(
            (LIMITS["reject_reasons_max"].reason,)
        )
        self._known: dict[str, set[str]] = {}

    def count(self, pipeline: str, stage: str, reasons: Iterable[str]) -> None:
        """Count what a stage rejected.

        Args:
            pipeline: Name of the pipeline.
            stage: Name of the stage.
            reasons: One ``reason=count`` for each.
        """
        known = self._known.setdefault(pipeline, set())
        for entry in reasons:
            reason, _, count = entry.rpartition("=")
            if reason not in known:
                if len(known) >= self.reasons_max:
                    reason = _OTHER
                    self._folded.inc()
                else:
                    known.add(reason)
            self._rejects.child((pipeline, stage, reason)).inc(float(count))
