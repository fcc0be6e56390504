"""Slack's answers, from a real HTTP server on loopback."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from watchkeeper.errors import NotifyError, SettingError
from watchkeeper.server.alerts.message import Message, Notice
from watchkeeper.server.alerts.slack import SlackReceiver
from watchkeeper.testing.slack import Answer, FakeSlack

MESSAGE = Message("A", True, (Notice({"alertname": "A"}, {"summary": "s"}, 1.0, 0, "k"),))


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """Yield a webhook."""
    with FakeSlack() as fake:
        yield fake


async def sent(url: str, *, timeout_s: float = 5.0) -> str:
    """Send one message."""
    receiver = SlackReceiver(url, timeout_s=timeout_s)
    try:
        return await receiver.send(MESSAGE)
    finally:
        await receiver.aclose()


async def test_ok_is_delivered(slack: FakeSlack) -> None:
    """200 with the body ``ok`` is the only success."""
    assert "ok" == await sent(slack.url)
    assert "[FIRING] A: s" == slack.messages[0]["text"]


@pytest.mark.parametrize(
    ("answer", "retryable", "retry_after_s"),
    [
        (Answer(200, b"invalid"), False, None),
        (Answer(200, b'{"ok":false}'), False, None),
        (Answer(200, b""), False, None),
        (Answer(302, b""), False, None),
        (Answer(400, b"invalid_payload"), False, None),
        (Answer(403, b"action_prohibited"), False, None),
        (Answer(404, b"no_service"), False, None),
        (Answer(410, b"channel_is_archived"), False, None),
        (Answer(429, b"", 7), True, 7.0),
        (Answer(429, b"", 10**9), True, 3600.0),
        (Answer(429, b""), True, None),
        (Answer(500, b"rollup_error"), True, None),
        (Answer(503, b"x" * 100_000), True, None),
    ],
)
async def test_other_answers_say_whether_a_retry_helps(
    slack: FakeSlack,
    answer: Answer,
    retryable: bool,  # noqa: FBT001 - a column of the table above
    retry_after_s: float | None,
) -> None:
    """4xx and a 200 that is not ``ok`` are final; 429 and 5xx are worth another attempt."""
    slack.answer_next(answer)
    with pytest.raises(NotifyError) as caught:
        await sent(slack.url)

    assert (retryable, retry_after_s) == (caught.value.retryable, caught.value.retry_after_s)
    assert str(answer.status) in str(caught.value)
    assert len(str(caught.value)) < 300


async def test_a_webhook_that_hangs_is_given_up() -> None:
    """No answer in time is retryable, and the wait is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(NotifyError, match=r"no answer within|network error") as caught:
            await sent(f"http://127.0.0.1:{port}/services/secret", timeout_s=0.2)

    assert caught.value.retryable


async def test_nobody_listening_is_retryable() -> None:
    """A refused connection says so without the address."""
    with pytest.raises(NotifyError, match="network error: ConnectError") as caught:
        await sent("http://127.0.0.1:9/services/secret")

    assert caught.value.retryable
    assert "secret" not in str(caught.value)


async def test_the_address_is_in_no_log(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Neither our log nor the HTTP library's shows the webhook's path, at any level we use."""
    caplog.set_level(logging.INFO)
    slack.answer_next(Answer(500, b"no"))
    with pytest.raises(NotifyError) as caught:
        await sent(slack.url)

    assert "secret" not in caplog.text + str(caught.value) + repr(SlackReceiver(slack.url))


@pytest.mark.parametrize(
    "url",
    ["", "hooks.slack.com/secret", "http://hooks.slack.com/secret", "ftp://x/secret", "http://["],
)
def test_an_unusable_address_is_refused_without_showing_it(url: str) -> None:
    """Only https, or http on loopback."""
    with pytest.raises(SettingError) as caught:
        SlackReceiver(url)

    assert "secret that is not shown" in str(caught.value)
    assert "/secret" not in str(caught.value)
