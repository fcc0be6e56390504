"""Names of series are compared with the vocabulary, both ways."""

from __future__ import annotations

from watchkeeper.verify.names import (
    EVENTS_MAY_BE_UNSEEN,
    MAY_BE_UNSEEN,
    undeclared,
    unseen,
    unseen_events,
)
from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.metrics import METRIC_BY_NAME, METRICS


def test_what_nobody_declared_is_named() -> None:
    """Declared series, those of Prometheus and times of creation are known; others are not."""
    known = ["up", "scrape_samples_scraped", "auth_attempts_total", "auth_attempts_created"]

    assert ["auth_attempt", "my_created"] == undeclared([*known, "my_created", "auth_attempt"])


def test_a_metric_is_seen_by_any_of_its_series() -> None:
    """One series of a histogram is enough; without any the metric is missing."""
    every = {metric.name for metric in METRICS}

    assert sorted(every) == unseen([])
    assert sorted(every - {"job.wait.duration"}) == unseen(["job_wait_duration_seconds_count"])


def test_what_may_be_missing_is_declared_and_rare() -> None:
    """Only metrics that exist are excused, each with what would have to fail."""
    assert set(MAY_BE_UNSEEN) <= set(METRIC_BY_NAME)
    assert all(MAY_BE_UNSEEN.values())
    assert 7 == len(MAY_BE_UNSEEN)


def test_log_events_are_seen_by_their_name() -> None:
    """Every declared event that was not read is missing; only what operators do is excused."""
    every = {event.name for event in EVENTS}

    assert sorted(every) == unseen_events(["no.event"])
    assert ["job.run"] == unseen_events(every - {"job.run"})
    assert set(EVENTS_MAY_BE_UNSEEN) < every
