"""PagerDuty's events: their form by its own description, their key, and its answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import pytest
from tests.corpora import corpus
from tests.server.alerts.receivers.samples import (
    HOSTILE,
    MINUTE_MS,
    START_MS,
    alert,
    hostile,
    notification,
    resolved,
)
from tests.server.api.openapi import problems_of

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Acknowledger, Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.pagerduty import PagerDutySender, dedup_key, payload
from watchkeeper.testing import Answer, FakePagerDuty

PLAIN = Fields({})


@pytest.fixture
def pager() -> Iterator[FakePagerDuty]:
    """Yield a PagerDuty."""
    with FakePagerDuty() as fake:
        yield fake


def sender_to(pager: FakePagerDuty, **settings: Any) -> PagerDutySender:
    """Return a sender."""
    given = {"url": pager.url, "routing_key": Secret(pager.routing_key), "timeout_ms": 2_000}
    return PagerDutySender({**given, **settings})


@cache
def description() -> dict[str, Any]:
    """Return PagerDuty's OpenAPI description."""
    found: dict[str, Any] = json.loads((corpus("pagerduty") / "openapiv3.json").read_text("utf-8"))
    return found


def departures(body: bytes) -> list[str]:
    """Return where an event departs from the description of ``/enqueue``."""
    operation = description()["paths"]["/enqueue"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    event = {"routing_key": "k", **orjson.loads(body)}
    return problems_of(event, schema, description()["components"]["schemas"])


@pytest.mark.parametrize(
    "told",
    [
        notification(),
        notification(*[alert(instance=str(number)) for number in range(50)], truncated=9),
        resolved(),
        *(hostile(text, 3) for text in HOSTILE),
    ],
)
@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_events_fit_pagerdutys_description(told: Notification, action: Any) -> None:
    """Every event validates against PagerDuty's own OpenAPI description."""
    assert [] == departures(payload(told, PLAIN, action))


def test_an_event_says_what_how_bad_since_when_and_on_what() -> None:
    """Summary, source, severity and details answer the questions; links lead on."""
    event = orjson.loads(payload(notification(note="Escalation, step 1"), PLAIN))
    shown = event["payload"]

    assert "ApiErrorRate: api fails 10% of its requests" == shown["summary"]
    assert ("api", "critical", "2026-01-01T00:00:00.000+00:00") == (
        shown["source"], shown["severity"], shown["timestamp"],
    )  # fmt: skip
    assert {
        "since": "2026-01-01 00:00:00 UTC (12m)",
        "severity": "page",
        "value": "0.1",
        "description": "Over the last 5m …",
        "labels": {"job": "api"},
        "changed": "api deployed v1.2.3 5m before",
        "note": "Escalation, step 1",
        "num_firing": 1,
        "num_resolved": 0,
    } == shown["custom_details"]
    assert [
        "Runbook", "Dashboard", "Slowest trace", "Incident", "Alert", "Acknowledge", "Silence",
    ] == [link["text"] for link in event["links"]]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("critical", "critical"), ("page", "critical"), ("P1", "critical"), ("high", "error"),
        ("warning", "warning"), ("ticket", "warning"), ("info", "info"), ("none", "info"),
        ("whatever", "error"), ("", "error"),
    ],
)  # fmt: skip
def test_severities_become_pagerdutys(label: str, expected: str) -> None:
    """The worst label decides; an unknown word is an error."""
    event = orjson.loads(payload(notification(alert(severity=label)), PLAIN))

    assert expected == event["payload"]["severity"]


def test_the_worst_member_decides_the_severity() -> None:
    """Among those that fire."""
    over = alert(severity="critical", ends_ms=START_MS + MINUTE_MS)
    told = notification(alert(severity="info"), alert(severity="ticket"), over)

    assert "warning" == orjson.loads(payload(told, PLAIN))["payload"]["severity"]


def test_the_key_is_the_hash_of_the_groups() -> None:
    """64 digits, the same as Alertmanager's for the same group."""
    assert "25fb0bff77cf7f8850f1cb3aeea9e63be0fbd3e78a8c0ef038392ade26e7d3a6" == dedup_key(
        '{}:{alertname="X"}'
    )


def test_the_summary_is_cut_at_1024_characters() -> None:
    """PagerDuty refuses more."""
    told = notification(annotations_long())

    own = Fields({"description": "{{ .CommonAnnotations.description }}"})
    assert 1024 == len(orjson.loads(payload(told, own))["payload"]["summary"])


def annotations_long() -> Any:
    """Return an alert with a long description."""
    return alert(annotations={"summary": "s" * 2000, "description": "d" * 5000})


def test_details_are_left_out_where_the_event_is_too_large() -> None:
    """Beyond 512,000 bytes the rest is still sent, and says so."""
    own = Fields({"details": {"big": "x" * 600_000}})
    body = payload(notification(), own)

    assert len(body) < 512_000
    assert "left out" in orjson.loads(body)["payload"]["custom_details"]["details"]


async def test_a_group_is_one_incident_from_trigger_to_resolve(pager: FakePagerDuty) -> None:
    """Repetitions add to it, an acknowledgement marks it, the end resolves it."""
    sender = sender_to(pager)
    assert isinstance(sender, Acknowledger)
    first = await sender.send(notification(), {})
    await sender.send(notification(), {})
    await sender.acknowledge(notification(), {}, "Ada")
    assert "acknowledged" == pager.incidents[0].status
    last = await sender.send(resolved(), {})
    await sender.aclose()

    assert ("HTTP 202: trigger, Event processed", "HTTP 202: resolve, Event processed") == (
        first.answer, last.answer,
    )  # fmt: skip
    assert [("resolved", 4)] == [(one.status, len(one.events)) for one in pager.incidents]
    assert pager.routing_key == pager.events[0]["routing_key"]


@pytest.mark.parametrize(
    ("answer", "retryable", "retry_after_s"),
    [
        (Answer(400, b'{"status":"invalid event","message":"bad","errors":["e"]}'), False, None),
        (Answer(400, b"?"), False, None),
        (Answer(413, b""), False, None),
        (Answer(429, b"", 60), True, 60.0),
        (Answer(500, b""), True, None),
        (Answer(502, b"x" * 100_000), True, None),
        (Answer(drop=True), True, None),
    ],
)
async def test_answers_say_whether_a_retry_helps(
    pager: FakePagerDuty,
    answer: Answer,
    retryable: bool,  # noqa: FBT001 - a column of the table above
    retry_after_s: float | None,
) -> None:
    """429, 5xx and network errors are worth another attempt; what is malformed stays so."""
    pager.answer_next(answer)
    sender = sender_to(pager)
    with pytest.raises(NotifyError) as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert (retryable, retry_after_s) == (caught.value.retryable, caught.value.retry_after_s)


async def test_reasons_are_told_and_the_key_is_not(
    pager: FakePagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    """What PagerDuty finds wrong is in the error; the routing key is nowhere."""
    caplog.set_level(logging.DEBUG)
    sender = sender_to(pager, routing_key=Secret("hidden-key"))
    with pytest.raises(NotifyError, match="'routing_key' is incorrect") as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert not caught.value.retryable
    assert "hidden" not in caplog.text + str(caught.value) + repr(sender)
    assert b"hidden" not in payload(notification(), Fields({"routing_key": Secret("hidden")}))


def test_settings_of_ones_own_are_templates() -> None:
    """Description, severity, class, links, images and nested details say what they are told to."""
    own = Fields({
        "description": "{{ .CommonLabels.job }} down",
        "severity": "{{ .CommonLabels.severity }}",
        "class": "c", "component": "{{ .CommonLabels.job }}", "group": "g", "source": "s",
        "client": "me", "client_url": "https://x.example",
        "details": {
            "deep": {"list": ["{{ .Status }}", 1]},
            "firing": '{{ template "pagerduty.default.instances" .Alerts.Firing }}',
        },
        "links": [{"href": "https://x.example/{{ .Status }}", "text": "t"},
                  {"href": "javascript:alert(1)"}],
        "images": [{"src": "https://x.example/i.png", "alt": "a"}, {"src": ""}],
    })  # fmt: skip
    body = payload(notification(), own)
    event = orjson.loads(body)
    shown = event["payload"]

    assert [] == departures(body)
    assert ("api down", "critical", "c", "api", "g", "s") == (
        shown["summary"], shown["severity"], shown["class"], shown["component"], shown["group"],
        shown["source"],
    )  # fmt: skip
    assert {"list": ["firing", 1]} == shown["custom_details"]["deep"]
    assert "firing" not in shown["custom_details"]
    assert ("me", "https://x.example") == (event["client"], event["client_url"])
    assert {"href": "https://x.example/firing", "text": "t"} == event["links"][-1]
    assert [{"src": "https://x.example/i.png", "alt": "a"}] == event["images"]
