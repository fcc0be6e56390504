"""What a scrape brings, and what its absence means."""

from __future__ import annotations

import numpy as np

from watchkeeper.server.scrape.target import Target
from watchkeeper.server.series import is_stale
from watchkeeper.server.store.rows import Batch

FACTS = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
}


def shown(batch: Batch) -> dict[str, float | None]:
    """Return values by metric name; None is a staleness marker."""
    values = np.array([sample.value for sample in batch.samples])
    return {
        dict(sample.labels)["__name__"]: None if stale else sample.value
        for sample, stale in zip(batch.samples, is_stale(values), strict=True)
    }


def own(batch: Batch) -> dict[str, float | None]:
    """Return what is not about the scrape itself."""
    return {name: value for name, value in shown(batch).items() if name not in FACTS}


def test_a_scrape_brings_its_own_facts() -> None:
    """Beside the page's samples there is up, and how the scrape went, with job and instance."""
    batch = Target({"job": "api", "instance": "x:1"}).page("a 1\nb 2\n", 1_000, 0.25)

    assert own(batch) == {"a": 1.0, "b": 2.0}
    assert {name: value for name, value in shown(batch).items() if name in FACTS} == {
        "up": 1.0, "scrape_duration_seconds": 0.25, "scrape_samples_scraped": 2.0,
        "scrape_samples_post_metric_relabeling": 2.0, "scrape_series_added": 2.0,
    }  # fmt: skip
    for sample in batch.samples:
        labels = dict(sample.labels)
        assert (labels["job"], labels["instance"], sample.t_ms) == ("api", "x:1", 1_000)


def test_a_series_that_is_gone_ends_once() -> None:
    """A series missing from the page gets one staleness marker, and starts anew when it is back."""
    target = Target({"job": "api", "instance": "x:1"})
    pages = [
        target.page(text, t, 0.1)
        for t, text in enumerate(["a 1\nb 2\n", "a 1\n", "a 1\n", "b 3\na 1\n"])
    ]

    assert [own(page) for page in pages[1:]] == [
        {"a": 1.0, "b": None},
        {"a": 1.0},
        {"a": 1.0, "b": 3.0},
    ]
    assert [2.0, 0.0, 0.0, 1.0] == [shown(page)["scrape_series_added"] for page in pages]


def test_a_failure_ends_every_series() -> None:
    """The value of up is 0, every series ends; the next failure has nothing more to end."""
    target = Target({"job": "api", "instance": "x:1"})
    target.page("a 1\n", 1, 0.1)
    batches = [target.failure("refused", 2, 0.1), target.failure("refused", 3, 0.1)]

    assert [{"a": None}, {}] == [own(batch) for batch in batches]
    assert [0.0, 0.0] == [shown(batch)["up"] for batch in batches]
    assert target.last.error == "refused"


def test_a_bad_page_is_a_failure() -> None:
    """A page that does not parse counts as no page: nothing of it is kept."""
    target = Target({"job": "api", "instance": "x:1"})
    target.page("a 1\n", 1, 0.1)

    assert {"a": None} == own(target.page("a 2\n<html>\n", 2, 0.1))
    assert "<html>" in target.last.error


def test_a_target_that_goes_away_ends_up_too() -> None:
    """With the target its up ends, so that nobody waits for it."""
    target = Target({"job": "api", "instance": "x:1"})
    target.page("a 1\n", 1, 0.1)

    assert dict.fromkeys({"a", *FACTS}) == shown(target.gone(2, for_good=True))


def test_samples_of_another_time_are_bounded_and_never_stale() -> None:
    """A sample with its own time is kept if the time makes sense; its absence says nothing."""
    target = Target({"job": "api", "instance": "x:1"})
    pages = [
        target.page(text, 1_000, 0.1, window_ms=(500, 2_000))
        for text in ("a 1 900\nold 1 1\nnew 1 9000\n", "b 1\n")
    ]

    assert [{"a": 1.0}, {"b": 1.0}] == [own(page) for page in pages]
