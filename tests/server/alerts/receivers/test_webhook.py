"""The webhook's body is Alertmanager's, and its answers are judged as Alertmanager's are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.alerts.receivers.samples import MINUTE_MS, START_MS, alert, notification, resolved
from tests.services import needed

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.receivers.webhook import WebhookSender, payload
from watchkeeper.testing import Answer, FakeWebhook, free_port, wait_until


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    """Yield a webhook."""
    with FakeWebhook(body_bytes_max=100_000) as fake:
        yield fake


async def sent(url: str, **settings: object) -> str:
    """Send one notification."""
    sender = WebhookSender({"url": Secret(url), "timeout_ms": 2_000, **settings})
    try:
        return (await sender.send(notification(), {})).answer
    finally:
        await sender.aclose()


def test_the_body_has_alertmanagers_fields() -> None:
    """Names, forms and meaning are those of version 4 of Alertmanager's webhook."""
    one = alert(starts_ms=START_MS + 250, instance="a")
    two = alert(ends_ms=START_MS + MINUTE_MS, instance="b", annotations={"summary": "s"})

    assert {
        "receiver": "team\\.a",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": dict(one.labels),
                "annotations": dict(one.annotations),
                "startsAt": "2026-01-01T00:00:00.25Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://127.0.0.1:8400/graph?g0.expr=x",
                "fingerprint": "0123456789abcdef",
            },
            {
                "status": "resolved",
                "labels": dict(two.labels),
                "annotations": {"summary": "s"},
                "startsAt": "2026-01-01T00:00:00Z",
                "endsAt": "2026-01-01T00:01:00Z",
                "generatorURL": "http://127.0.0.1:8400/graph?g0.expr=x",
                "fingerprint": "0123456789abcdef",
            },
        ],
        "groupLabels": {"alertname": "ApiErrorRate"},
        "commonLabels": {"alertname": "ApiErrorRate", "job": "api", "severity": "page"},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:8400",
        "version": "4",
        "groupKey": '{}/{job="api"}:{alertname="ApiErrorRate"}',
        "truncatedAlerts": 0,
    } == payload(notification(one, two, receiver="team.a"))


def test_alerts_beyond_the_bound_are_counted() -> None:
    """``max_alerts`` keeps the first ones; what the router left out is counted too."""
    body = payload(notification(alert(), alert(), alert(), truncated=4), 2)

    assert (2, 5) == (len(body["alerts"]), body["truncatedAlerts"])


def test_a_group_of_ended_alerts_is_resolved() -> None:
    """The status says that nothing fires any more."""
    assert "resolved" == payload(resolved())["status"]


async def test_any_success_is_delivered(hook: FakeWebhook) -> None:
    """Every 2xx counts, and its status is what is noted."""
    hook.answer_next(Answer(204, b""))

    assert ["HTTP 204", "HTTP 200"] == [await sent(hook.url), await sent(hook.url)]
    assert "4" == hook.notifications[0]["version"]
    assert "application/json" == hook.requests[0].headers["content-type"]


@pytest.mark.parametrize(
    ("answer", "retryable", "retry_after_s"),
    [
        (Answer(400, b"no"), False, None),
        (Answer(302, b"", headers={"Location": "/elsewhere"}), False, None),
        (Answer(404, b"no"), False, None),
        (Answer(429, b"", 7), True, 7.0),
        (Answer(429, b"", 10**9), True, 3600.0),
        (Answer(500, b"x" * 100_000), True, None),
        (Answer(503, b"", 3), True, 3.0),
        (Answer(drop=True), True, None),
        (Answer(lost=True), True, None),
    ],
)
async def test_other_answers_say_whether_a_retry_helps(
    hook: FakeWebhook,
    answer: Answer,
    retryable: bool,  # noqa: FBT001 - a column of the table above
    retry_after_s: float | None,
) -> None:
    """4xx are final; 429, 5xx and a broken connection are worth another attempt."""
    hook.answer_next(answer)
    with pytest.raises(NotifyError) as caught:
        await sent(hook.url)

    assert (retryable, retry_after_s) == (caught.value.retryable, caught.value.retry_after_s)
    assert len(str(caught.value)) < 300


async def test_a_body_that_is_too_large_for_the_receiver_is_final() -> None:
    """413 does not become smaller by repetition."""
    with FakeWebhook(body_bytes_max=100) as small, pytest.raises(NotifyError) as caught:
        await sent(small.url)

    assert not caught.value.retryable


async def test_a_receiver_that_hangs_is_given_up(hook: FakeWebhook) -> None:
    """``timeout`` bounds the attempt, and the error is retryable."""
    hook.answer_next(Answer(hang=True))
    with pytest.raises(NotifyError, match=r"no answer within 0.2 s") as caught:
        await asyncio.wait_for(sent(hook.url, timeout_ms=200), 5)

    assert caught.value.retryable


async def test_a_refused_connection_is_retryable(hook: FakeWebhook) -> None:
    """Nobody listens now; the address is not shown."""
    with hook.refusing(), pytest.raises(NotifyError, match="network error: Connect") as caught:
        await sent(hook.url)

    assert caught.value.retryable
    assert "HTTP 200" == await sent(hook.url)


async def test_a_redirect_that_keeps_the_method_is_followed(hook: FakeWebhook) -> None:
    """307 and 308 carry the body on; ``follow_redirects: false`` forbids it."""
    hook.answer_next(Answer(307, b"", headers={"Location": hook.url}))
    assert "HTTP 200" == await sent(hook.url)

    hook.answer_next(Answer(308, b"", headers={"Location": hook.url}))
    with pytest.raises(NotifyError, match="HTTP 308"):
        await sent(hook.url, http_config={"follow_redirects": False})


@pytest.mark.parametrize(
    ("http_config", "expected"),
    [
        ({"basic_auth": {"username": "u", "password": Secret("p")}}, "Basic dTpw"),
        ({"authorization": {"type": "Bearer", "credentials": Secret("t")}}, "Bearer t"),
        ({"authorization": {"credentials": Secret("t")}}, "Bearer t"),
        ({"bearer_token": Secret("b")}, "Bearer b"),
    ],
)
async def test_credentials_are_sent(
    hook: FakeWebhook, http_config: dict[str, object], expected: str
) -> None:
    """``http_config`` logs in as Alertmanager does."""
    await sent(hook.url, http_config=http_config)

    assert expected == hook.requests[0].headers["authorization"]


async def test_an_address_in_a_file_is_read_anew(hook: FakeWebhook, tmp_path: Path) -> None:
    """A rotated file counts at once; one that cannot be read is worth a retry."""
    file = tmp_path / "url"
    sender = WebhookSender({"url_file": str(file)})
    with pytest.raises(NotifyError, match="No such file") as caught:
        await sender.send(notification(), {})
    file.write_text(f"{hook.url}\n")

    assert caught.value.retryable
    assert "HTTP 200" == (await sender.send(notification(), {})).answer
    await sender.aclose()


@pytest.mark.parametrize("url", ["", "hooks/secret", "ftp://x/secret", "http://[secret"])
async def test_an_unusable_address_is_final_and_not_shown(url: str) -> None:
    """The error says what is accepted, without the secret."""
    with pytest.raises(NotifyError, match="https://") as caught:
        await sent(url)

    assert not caught.value.retryable
    assert "secret" not in str(caught.value)


async def test_the_address_is_in_no_log(
    hook: FakeWebhook, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither our log nor the HTTP library's shows address or credentials, at any level."""
    caplog.set_level(logging.DEBUG)
    settings = {"url": Secret(hook.url), "http_config": {"bearer_token": Secret("hidden")}}
    sender = WebhookSender(settings)
    hook.answer_next(Answer(500, b"no"))
    with pytest.raises(NotifyError) as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    shown = caplog.text + str(caught.value) + repr(sender) + repr(settings)
    assert "secret/" not in shown
    assert "/hook/" not in shown
    assert "hidden" not in shown


def test_debians_alertmanager_sends_the_same_body(tmp_path: Path) -> None:
    """For one alert, Alertmanager 0.25 sends what we send, value for value."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        needed("prometheus-alertmanager")
    with FakeWebhook() as hook:
        theirs = _from_alertmanager(program, tmp_path, hook)
    told = notification(alert(starts_ms=START_MS + 120), receiver="team.a (b)", truncated=0)
    ours = payload(told)
    for changing in ("externalURL", "groupKey"):
        assert theirs.pop(changing)
        del ours[changing]
    for body in (theirs, ours):
        assert body["alerts"][0].pop("fingerprint")

    assert theirs == ours


def _from_alertmanager(program: str, folder: Path, hook: FakeWebhook) -> dict[str, Any]:
    """Return what a real Alertmanager posts about the alert of the samples."""
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: 'team.a (b)', group_by: [alertname], group_wait: 0s}\n"
        f"receivers: [{{name: 'team.a (b)', webhook_configs: [{{url: '{hook.url}'}}]}}]\n"
    )
    port = free_port()
    server = subprocess.Popen(
        [
            *(program, f"--config.file={config}", f"--storage.path={folder}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    one = alert()
    posted = {
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "startsAt": "2026-01-01T00:00:00.12Z",
        "generatorURL": one.generator_url,
    }

    def taken() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{port}/api/v2/alerts"
            return httpx.post(url, json=[posted]).status_code == 200
        return False

    try:
        assert wait_until(taken, 20)
        assert hook.wait_for(1)
    finally:
        server.terminate()
        server.wait(40)
    return hook.notifications[0]
