"""Pages into samples, checked against prometheus_client's parsers and the OpenMetrics corpus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.corpora import corpus

from watchkeeper.errors import PayloadError
from watchkeeper.server.scrape.exposition import PageReader
from watchkeeper.server.series import Labels, sorted_labels
from watchkeeper.vocabulary.limits import limit

OTHERS = ("bad_", "duplicate_timestamps")
"""Not read here: what is no page, and times that differ by less than our millisecond."""
Found = dict[Labels, tuple[int, float]]
parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families


def read(page: str, *, openmetrics: bool = False) -> Found:
    """Return the samples of a page, by labels."""
    samples = PageReader({}).read(page, 5, openmetrics=openmetrics).samples
    found: Found = {}
    for sample in samples:  # of two samples of one time the first counts
        if found.get(sample.labels, (-1, 0.0))[0] != sample.t_ms:
            found[sample.labels] = (sample.t_ms, sample.value)
    return found


def test_good_openmetrics_pages_read_as_the_reference_reads_them() -> None:
    """Every good page of the OpenMetrics corpus gives the samples that prometheus_client finds."""
    pages = sorted(corpus("openmetrics").glob("*/metrics"))
    good = [path for path in pages if not path.parent.name.startswith(OTHERS)]
    wrong = []
    for path in good:
        text = path.read_text(encoding="utf-8")
        expected: Found = {}
        for family in parse(text):
            for sample in family.samples:
                labels = sorted_labels({**sample.labels, "__name__": sample.name})
                at = 5 if sample.timestamp is None else round(float(sample.timestamp) * 1000)
                expected[labels] = (at, float(sample.value))
        if repr(expected) != repr(read(text, openmetrics=True)):
            wrong.append(path.parent.name)

    assert len(good) > 30
    assert wrong == []


def test_a_page_reads_the_same_the_second_time() -> None:
    """The quick way through known series gives what the slow way gave."""
    registry = CollectorRegistry()
    Counter("c", "Help.", ["a"], registry=registry).labels('q"\\\n').inc(3)
    Gauge("g", "Help.", registry=registry).set(-math.inf)
    Histogram("h", "Help.", registry=registry).observe(0.3, {"trace_id": "ab"})
    reader = PageReader({"job": "api"})
    for openmetrics in (False, True):
        page = (generate_openmetrics if openmetrics else generate_latest)(registry).decode()
        first = reader.read(page, 1, openmetrics=openmetrics)
        second = reader.read(page, 1, openmetrics=openmetrics)
        assert first == second
        assert len(first.samples) > 15
        assert {dict(sample.labels)["job"] for sample in first.samples} == {"api"}
    assert [(("trace_id", "ab"),)] == [exemplar.labels for exemplar in first.exemplars]


def test_labels_of_the_target_win() -> None:
    """A page's own ``job`` is kept as ``exported_job``, as with honor_labels: false."""
    page = PageReader({"job": "api", "instance": "x:1"}).read('m{job="mine",le="1"} 1\n', 5)

    assert page.samples[0].labels == (
        ("__name__", "m"), ("exported_job", "mine"), ("instance", "x:1"), ("job", "api"), ("le", "1"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "openmetrics", "at"),
    [("m 1 1234", False, 1234), ("m 1 1.5", True, 1500), ("m 1 3", True, 3000), ("m 1", True, 5)],
)
def test_times_are_milliseconds_or_seconds(line: str, openmetrics: bool, at: int) -> None:  # noqa: FBT001 - a parameter
    """The text format counts milliseconds, OpenMetrics seconds."""
    assert [(at, 1.0)] == list(read(f"{line}\n# EOF\n", openmetrics=openmetrics).values())


@pytest.mark.parametrize(
    "page",
    [
        "m",
        "m one",
        "m{a=1} 2",
        'm{a="1" 2',
        'm{a="1",a="2"} 2',
        '{a="1"} 2',
        "9m 2",
        "m 1 when",
        "m 1 99999999999999999999e999",
        "m 1\nm x",
        "<html>",
    ],
)
def test_a_line_that_is_no_sample_is_named(page: str) -> None:
    """The whole page is refused, and the message has the line."""
    with pytest.raises(PayloadError, match="line"):
        read(page)


def test_a_page_cut_short_is_refused() -> None:
    """OpenMetrics says where a page ends; one without its end is not half-believed."""
    with pytest.raises(PayloadError, match="EOF"):
        read("m 1\n", openmetrics=True)


@pytest.mark.parametrize(
    "page",
    [
        'm{a="' + "x" * (limit("label_value_chars_max") + 1) + '"} 1',
        "m{" + ",".join(f'a{n}="1"' for n in range(limit("label_count_max") + 1)) + "} 1",
        "\n".join(f"m{n} 1" for n in range(limit("scrape_samples_max") + 1)),
    ],
)
def test_limits_refuse_the_page(page: str) -> None:
    """Too long a value, too many labels, too many samples: the scrape fails with the limit's name."""
    with pytest.raises(PayloadError, match="_max"):
        read(page)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(page: str) -> None:
    """Whatever a target says, it gives samples or a PayloadError."""
    try:
        found = read(page)
    except PayloadError:
        return
    assert all(labels for labels in found)
