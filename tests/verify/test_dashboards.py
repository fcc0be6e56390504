"""Panels are asked with every variable set to "all"."""

from __future__ import annotations

from watchkeeper.verify.dashboards import substitute


def test_variables_and_intervals_are_filled_in() -> None:
    """Variables become ``.*``, the interval and the range become durations."""
    expr = 'increase(x{job=~"$job"}[$__rate_interval]) / increase(x[$__range])'

    assert 'increase(x{job=~".*"}[20s]) / increase(x[60s])' == substitute(
        expr, [{"name": "job"}], interval_s=20, range_s=60
    )
