"""One target: what a scrape of it brings, and what its absence means."""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.errors import PayloadError
from watchkeeper.server.scrape.exposition import PageReader
from watchkeeper.server.series import STALE_NAN, Labels, sorted_labels
from watchkeeper.server.store.rows import Batch, Sample

__all__ = ["ScrapeResult", "Target"]


@dataclass(slots=True)
class ScrapeResult:
    """What the last scrape gave, for the list of targets."""

    at_ms: int = 0
    took_s: float = 0.0
    error: str = ""
    """Empty if it succeeded."""
    samples: int = 0


class Target:
    """Turns pages into batches and remembers which series there were.

    A series that is gone from the page, and every series of a target that fails or goes away,
    gets a staleness marker (Prometheus documentation, "Staleness").
    """

    def __init__(self, labels: dict[str, str]) -> None:
        """Scrape a target with these labels; ``job`` and ``instance`` are among them."""
        self.labels = labels
        self.last = ScrapeResult()
        self._reader = PageReader(labels)
        self._previous: set[Labels] = set()
        self._order: list[Labels] = []

    def page(
        self,
        text: str,
        t_ms: int,
        took_s: float,
        *,
        openmetrics: bool = False,
        window_ms: tuple[int, int] | None = None,
    ) -> Batch:
        """Return the batch of a scrape that brought a page; a bad page is a failed scrape.

        Args:
            text: The page.
            t_ms: When the scrape began, Unix milliseconds.
            took_s: How long it took.
            openmetrics: Whether the page is OpenMetrics.
            window_ms: Oldest and newest time that a sample with its own time may have.
        """
        try:
            page = self._reader.read(text, t_ms, openmetrics=openmetrics)
        except PayloadError as error:
            return self.failure(str(error), t_ms, took_s)
        order = [sample.labels for sample in page.samples if sample.t_ms == t_ms]
        if len(order) < len(page.samples) and window_ms:
            oldest, newest = window_ms
            page.samples = [s for s in page.samples if oldest <= s.t_ms <= newest]
        added, gone = 0, []
        if order != self._order:  # quick while nothing changes: the reader hands out one object
            timed = set(order)
            added = len(timed - self._previous)
            gone = [Sample(labels, t_ms, STALE_NAN) for labels in self._previous - timed]
            self._previous, self._order = timed, order
        self.last = ScrapeResult(t_ms, took_s, "", len(page.samples))
        facts = self._facts(t_ms, up=1.0, took_s=took_s, samples=len(page.samples), added=added)
        return Batch(
            samples=page.samples + gone + facts,
            exemplars=page.exemplars,
            families=page.families,
            size_bytes=4 * len(text),
        )

    def failure(self, error: str, t_ms: int, took_s: float) -> Batch:
        """Return the batch of a scrape that failed: ``up`` is 0 and every series ends."""
        batch = self.gone(t_ms)
        self.last = ScrapeResult(t_ms, took_s, error, 0)
        batch.samples += self._facts(t_ms, up=0.0, took_s=took_s, samples=0, added=0)
        return batch

    def gone(self, t_ms: int, *, for_good: bool = False) -> Batch:
        """Return the batch that ends every series; with *for_good* also those of the scrape."""
        ended = self._previous
        self._previous, self._order = set(), []
        if for_good:
            facts = self._facts(t_ms, up=0.0, took_s=0.0, samples=0, added=0)
            ended = ended | {sample.labels for sample in facts}
        return Batch(samples=[Sample(labels, t_ms, STALE_NAN) for labels in ended])

    def _facts(
        self, t_ms: int, *, up: float, took_s: float, samples: int, added: int
    ) -> list[Sample]:
        facts = {
            "up": up,
            "scrape_duration_seconds": took_s,
            "scrape_samples_scraped": float(samples),
            "scrape_samples_post_metric_relabeling": float(samples),
            "scrape_series_added": float(added),
        }
        return [
            Sample(sorted_labels({"__name__": name, **self.labels}), t_ms, value)
            for name, value in facts.items()
        ]
