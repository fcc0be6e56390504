"""What explains an alert, asked over the real query APIs of a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from tests.server.api.prometheus_app import Rules, Targets
from tests.server.sample_rows import NOON_NS, record, span

from watchkeeper.server.alerts.explain import Explained, Explainer
from watchkeeper.server.alerts.notification import GroupAlert, Notification
from watchkeeper.server.api import loki, prometheus, tempo
from watchkeeper.server.promql import Engine
from watchkeeper.server.series import sorted_labels
from watchkeeper.server.store.rows import Batch, Sample
from watchkeeper.server.store.store import Store
from watchkeeper.testing import FixedClock

NOON_MS = NOON_NS // 1_000_000
UI = "https://watch.example"


@pytest.fixture
async def explainer(store: Store, clock: FixedClock) -> AsyncIterator[Explainer]:
    """Yield one that asks all three APIs."""
    app = Starlette(
        routes=[
            *prometheus.routes(Engine(store, clock=clock), store, Rules(), Targets(), clock=clock),
            *tempo.routes(store),
            *loki.routes(store, clock),
        ]
    )
    made = Explainer.in_process(app, UI)
    yield made
    await made.aclose()


async def explained(explainer: Explainer, **annotations: str) -> Explained:
    """Return what explains an alert of the service ``api`` that began a minute after noon."""
    return await explainer.explain({"job": "api"}, annotations, NOON_MS + 60_000, NOON_MS + 120_000)


def info(version: str, at_s: int) -> Sample:
    """Return one sample of a version."""
    labels = {"__name__": "target_info", "job": "api", "service_version": version}
    return Sample(sorted_labels(labels), NOON_MS + at_s * 1000, 1.0)


async def test_the_latest_failed_trace_of_the_service_explains(
    store: Store, explainer: Explainer
) -> None:
    """Without a query of the rule's own, the last failed trace of the alert's job is linked."""
    spans = [
        span(1, 11, name="GET /a", status=2, start_s=10),
        span(2, 21, name="GET /b", status=2, start_s=50),
        span(3, 31, name="GET /c", start_s=55),
        span(4, 41, name="job", service="worker", status=2, start_s=56),
    ]
    store.ingest(Batch(spans=spans)).result(10)

    found = await explained(explainer)

    assert (f"{UI}/#/traces/{2:032x}", "latest failed trace: GET /b") == found[:2]


async def test_the_slowest_trace_explains_what_is_slow(store: Store, explainer: Explainer) -> None:
    """A query for durations links the longest of what it finds."""
    spans = [
        span(1, 11, name="GET /a", duration_s=9, start_s=10),
        span(2, 21, name="GET /b", duration_s=3, start_s=50),
    ]
    store.ingest(Batch(spans=spans)).result(10)

    found = await explained(explainer, trace_query="{ duration > 2s }")

    assert (f"{UI}/#/traces/{1:032x}", "slowest trace: GET /a") == found[:2]


async def test_log_lines_explain_where_the_rule_says_so(store: Store, explainer: Explainer) -> None:
    """A log query that finds lines is linked with its time; one that finds none is not."""
    store.ingest(Batch(logs=[record("no price for model x", at_s=30)])).result(10)

    found = await explained(explainer, log_query='{service_name="api"} |= "no price"')
    nothing = await explained(explainer, log_query='{service_name="api"} |= "other"')

    assert found.url.startswith(f"{UI}/#/logs?q=%7Bservice_name%3D")
    assert found.url.endswith(f"&from={NOON_MS - 240_000}&to={NOON_MS + 120_000}")
    assert "log lines" == found.label
    assert "" == nothing.url


async def test_a_version_that_came_up_shortly_before_is_told(
    store: Store, explainer: Explainer
) -> None:
    """The change from one version to the next is told with its time."""
    samples = [info("1.4.1", s) for s in range(-3600, -600, 15)]
    samples += [info("1.4.2", s) for s in range(-540, 60, 15)]
    store.ingest(Batch(samples=samples)).result(10)

    assert "api 1.4.2 came up 10 min before, after 1.4.1" == (await explained(explainer)).changed


async def test_one_version_alone_is_no_change(store: Store, explainer: Explainer) -> None:
    """A service whose version stays, or which has none, changed nothing."""
    samples = [info("1.4.2", s) for s in range(-3600, 60, 15)]
    store.ingest(Batch(samples=samples)).result(10)

    assert "" == (await explained(explainer)).changed


async def test_a_message_leads_to_the_alert_a_silence_and_the_trace(
    store: Store, explainer: Explainer
) -> None:
    """The silence's form is filled with the group's labels; a resolved group has no trace."""
    store.ingest(Batch(spans=[span(1, 11, status=2, start_s=50)])).result(10)
    labels = {"alertname": "A&B", "job": "api"}
    alert = GroupAlert(labels, {}, NOON_MS + 60_000, None, "0" * 16)
    firing = Notification("slack", "{}:{}", labels, (alert,), NOON_MS + 120_000)

    links, _ = await explainer.of(firing)
    ended = replace(firing, alerts=(replace(alert, ends_ms=NOON_MS + 90_000),))
    after, _ = await explainer.of(ended)

    assert f"{UI}/#/alerts?name=A%26B" == links.alert == after.alert
    assert (
        f"{UI}/#/silences/new?filter=alertname%3D%22A%26B%22&filter=job%3D%22api%22"
        == links.silence
    )
    assert (f"{UI}/#/traces/{1:032x}", "") == (links.explore, after.explore)


async def test_a_query_that_fails_explains_nothing(explainer: Explainer) -> None:
    """A query that is refused leaves the link out and raises nothing."""
    assert Explained() == await explained(explainer, trace_query="{ no traceql")


async def test_a_name_from_outside_cannot_leave_its_query(
    store: Store, explainer: Explainer
) -> None:
    """A job with quotes in its name is asked for as it is."""
    store.ingest(Batch(spans=[span(1, 11, service='a"b', status=2, start_s=50)])).result(10)

    found = await explainer.explain({"job": 'a"b'}, {}, NOON_MS + 60_000, NOON_MS + 120_000)

    assert found.url.endswith(f"/#/traces/{1:032x}")
