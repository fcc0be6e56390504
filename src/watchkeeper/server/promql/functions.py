"""All functions by name."""

from __future__ import annotations

from watchkeeper.server.promql.context import Function
from watchkeeper.server.promql.histograms import HISTOGRAMS
from watchkeeper.server.promql.labels import LABELS
from watchkeeper.server.promql.overtime import OVER_TIME
from watchkeeper.server.promql.rates import RATES
from watchkeeper.server.promql.scalars import SCALARS

__all__ = ["HANDLERS"]

HANDLERS: dict[str, Function] = {**SCALARS, **LABELS, **RATES, **OVER_TIME, **HISTOGRAMS}
"""``timestamp`` is missing: it needs the sample's own time, so the evaluator answers it."""
