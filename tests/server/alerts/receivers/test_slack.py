"""Slack's messages, its answers, and that nothing in an alert can misuse them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.server.alerts.receivers.samples import (
    HOSTILE,
    MINUTE_MS,
    START_MS,
    alert,
    hostile,
    notification,
    resolved,
    texts,
)

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.chat_text import escaped
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.slack import (
    SlackBotSender,
    SlackWebhookSender,
    is_bot,
    payload,
)
from watchkeeper.testing import Answer, FakeSlack

PLAIN = Fields({"channel": "#alerts"})


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """Yield a workspace."""
    with FakeSlack() as fake:
        yield fake


async def sent(url: str, told: Notification | None = None, *, timeout_ms: int = 2_000) -> str:
    """Send one notification to a webhook."""
    sender = SlackWebhookSender({"api_url": Secret(url), "timeout_ms": timeout_ms})
    try:
        return (await sender.send(told or notification(), {})).answer
    finally:
        await sender.aclose()


def bot(slack: FakeSlack, **settings: Any) -> SlackBotSender:
    """Return a bot of the workspace."""
    given = {"app_token": Secret(slack.token), "app_url": slack.api_url, "channel": "#alerts"}
    return SlackBotSender({**given, **settings})


def test_a_phone_shows_what_how_bad_and_since_when_first() -> None:
    """The message's text, all that a locked screen shows, begins with the most important."""
    assert (
        "[FIRING] ApiErrorRate: api fails 10% of its requests · page · since 2026-01-01 00:00 UTC"
        == payload(notification(), PLAIN)["text"]
    )


def test_a_firing_message_says_everything_that_is_needed_at_night() -> None:
    """What, since when, how bad, on what, what changed, and where to look and to act."""
    body = payload(notification(), PLAIN)
    said = "\n".join(texts(body))

    assert "#d0342c" == body["attachments"][0]["color"]
    for part in (
        "*Since*\n<!date^1767225600^", "2026-01-01 00:00:00 UTC> (12m)", "*How bad*\n0.1",
        "*On what*\njob: api", "*Severity*\npage", "Over the last 5m …",
        "<http://127.0.0.1:8400/#/alerts?name=ApiErrorRate|Alert>",
        "<http://127.0.0.1:8400/#/d/overview?panel=error-ratio|Dashboard>",
        "<https://example.org/runbooks/api.md|Runbook>",
        "<http://127.0.0.1:8400/#/trace/abc|Slowest trace>",
        "<http://127.0.0.1:8400/#/incidents/7|Incident>",
        "*Changed lately:* api deployed v1.2.3 5m before",
    ):  # fmt: skip
        assert part in said


def test_acknowledge_and_silence_are_buttons_that_lead_to_the_signed_links() -> None:
    """A press opens the link as it was signed."""
    blocks = payload(notification(), PLAIN)["attachments"][0]["blocks"]
    buttons = next(block["elements"] for block in blocks if block["type"] == "actions")

    assert [
        ("Acknowledge", "http://127.0.0.1:8400/act/acknowledge?token=SIGNED&x=1"),
        ("Silence", "http://127.0.0.1:8400/act/silence?token=SIGNED"),
    ] == [(button["text"]["text"], button["url"]) for button in buttons]


def test_a_resolved_message_is_green_and_offers_nothing_to_do() -> None:
    """The colour and the word say that it is over, and how long it lasted."""
    body = payload(resolved(), PLAIN)

    assert body["text"].startswith("[RESOLVED] ApiErrorRate: api fails")
    assert "#2e9e5b" == body["attachments"][0]["color"]
    assert "*Lasted*\n10m" in "\n".join(texts(body))
    assert "actions" not in {block["type"] for block in body["attachments"][0]["blocks"]}


def test_many_alerts_are_a_bounded_list_and_a_count() -> None:
    """Ten are listed with what makes them differ; the message says how many more there are."""
    members = [alert(instance=f"host-{number}", value=number) for number in range(30)]
    body = payload(notification(*members, truncated=5), PLAIN)
    said = "\n".join(texts(body))

    assert body["text"].startswith("[FIRING:35] ApiErrorRate")
    assert ":red_circle: instance=host-9 = *9*, since <!date^" in said
    assert "host-10" not in said
    assert "… and 25 more" in said
    assert "*Alerts*\n30 firing, 0 resolved" in said


def test_a_group_shows_who_has_recovered() -> None:
    """Members that ended are green and say since when."""
    over = alert(instance="b", ends_ms=START_MS + MINUTE_MS)
    said = "\n".join(texts(payload(notification(alert(instance="a"), over), PLAIN)))

    assert ":large_green_circle: instance=b = *0.1*, since" in said
    assert "over since <!date^1767225660^" in said


def test_without_an_address_of_ours_relative_links_are_left_out() -> None:
    """A link is not made up."""
    assert "Dashboard" not in "\n".join(texts(payload(notification(external_url=""), PLAIN)))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("count", [1, 3])
def test_nothing_in_an_alert_can_mention_or_link(text: str, count: int) -> None:
    """Markup, mentions and addresses of other schemes in labels and texts lose their power."""
    for said in texts(payload(hostile(text, count), PLAIN)):
        assert "<!channel" not in said
        assert "<!here" not in said
        assert "<@" not in said
        assert "<https://evil" not in said
        assert "<javascript" not in said
        assert "<script" not in said
        assert "@channel" not in said
        assert "@here" not in said
        assert "@everyone" not in said.lower()


@pytest.mark.parametrize("count", [1, 9, 500])
@pytest.mark.parametrize("text", ["&" * 3000, "<" * 50 + "x" * 5000, "@here " * 600])
async def test_messages_stay_within_slacks_limits(slack: FakeSlack, count: int, text: str) -> None:
    """Slack takes the message however much the alerts say; the rest is counted."""
    told = hostile(text, count)

    assert "ok" == await sent(slack.url, told)
    blocks = slack.messages[0]["attachments"][0]["blocks"]
    assert len(blocks) <= 50
    for block in blocks:
        assert len(block.get("text", {}).get("text", "")) <= 3000
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
        assert all(len(str(item["text"])) <= 3100 for item in block.get("elements", []))
    said = json.dumps(slack.messages[0], ensure_ascii=False)
    assert (count > 10) == (f"… and {count - 10} more" in said)


def test_a_cut_never_goes_through_an_entity() -> None:
    """What is shown stays within its bound and is whole."""
    assert "&amp;&amp;…" == escaped("&" * 10, 13)
    assert "ab…" == escaped("abcd", 3)
    assert "abc" == escaped("abc", 3)


async def test_ok_is_delivered(slack: FakeSlack) -> None:
    """200 with the body ``ok`` is success."""
    assert "ok" == await sent(slack.url)
    assert slack.messages[0]["text"].startswith("[FIRING] ApiErrorRate")


@pytest.mark.parametrize(
    ("answer", "retryable", "retry_after_s"),
    [
        (Answer(200, b"invalid"), False, None),
        (Answer(200, b'{"ok":false}'), False, None),
        (Answer(200, b""), False, None),
        (Answer(302, b""), False, None),
        (Answer(400, b"invalid_payload"), False, None),
        (Answer(400, b"user_not_found"), False, None),
        (Answer(403, b"action_prohibited"), False, None),
        (Answer(404, b"channel_not_found"), False, None),
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


async def test_a_webhook_that_hangs_is_given_up(slack: FakeSlack) -> None:
    """No answer in time is retryable, and the wait is bounded."""
    slack.answer_next(Answer(hang=True))
    with pytest.raises(NotifyError, match=r"no answer within 0.2 s") as caught:
        await sent(slack.url, timeout_ms=200)

    assert caught.value.retryable


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"api_url": Secret("https://hooks.slack.com/services/T/B/x")}, False),
        ({"api_url": Secret("https://slack.com/api/chat.postMessage")}, True),
        ({"app_token": Secret("xoxb-1")}, True),
        ({}, False),
    ],
)
def test_a_token_or_the_methods_address_makes_a_bot(
    settings: dict[str, Any],
    expected: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Alertmanager's two ways of configuring a bot are both understood."""
    assert expected == is_bot(settings)


async def test_a_group_has_one_message_that_turns_green(slack: FakeSlack) -> None:
    """Later notifications change the message; what changed stands in its thread."""
    sender = bot(slack)
    one, two = alert(instance="a", fingerprint="1" * 16), alert(instance="b", fingerprint="2" * 16)
    first = await sender.send(notification(one), {})
    second = await sender.send(notification(one, two), first.thread)
    over = [
        alert(instance=name, fingerprint=key * 16, ends_ms=START_MS + MINUTE_MS)
        for name, key in (("a", "1"), ("b", "2"))
    ]
    third = await sender.send(resolved(*over), second.thread)
    await sender.aclose()

    assert ["ok: posted", "ok: updated", "ok: updated"] == [
        first.answer, second.answer, third.answer,
    ]  # fmt: skip
    message, new, end = slack.posts
    assert "#2e9e5b" == message.body["attachments"][0]["color"]
    assert message.body["text"].startswith("[RESOLVED:2] ApiErrorRate")
    assert 2 == len(message.history)
    assert (message.ts, message.ts) == (new.thread_ts, end.thread_ts)
    assert "New: api fails 10% of its requests" in new.body["text"]
    assert new.broadcast
    assert "All over." in end.body["text"]
    assert not end.broadcast


async def test_a_repeat_is_told_in_the_thread_and_shown_in_the_channel(slack: FakeSlack) -> None:
    """Nobody is told of a change, so that a reminder needs a line of its own."""
    sender = bot(slack)
    first = await sender.send(notification(), {})
    await sender.send(notification(), first.thread)
    await sender.aclose()

    assert slack.posts[1].body["text"].startswith("Still firing: [FIRING] ApiErrorRate")
    assert slack.posts[1].broadcast


async def test_a_deleted_message_is_replaced(slack: FakeSlack) -> None:
    """What cannot be changed any more is posted anew."""
    sender = bot(slack)
    first = await sender.send(notification(), {})
    slack.posts.clear()
    second = await sender.send(notification(), first.thread)
    await sender.aclose()

    assert "ok: posted" == second.answer
    assert 1 == len(slack.posts)


@pytest.mark.parametrize(
    ("body", "retryable"),
    [
        (b'{"ok":false,"error":"internal_error"}', True),
        (b'{"ok":false,"error":"ratelimited"}', True),
        (b'{"ok":false,"error":"channel_not_found"}', False),
        (b'{"ok":false,"error":"is_archived"}', False),
        (b"not json", False),
    ],
)
async def test_errors_of_the_web_api_say_whether_a_retry_helps(
    slack: FakeSlack,
    body: bytes,
    retryable: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Slack's passing faults are worth another attempt, mistakes are not."""
    slack.answer_next(Answer(200, body))
    sender = bot(slack)
    with pytest.raises(NotifyError, match=r"chat\.postMessage") as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert retryable == caught.value.retryable


async def test_the_web_api_can_limit_the_rate(slack: FakeSlack) -> None:
    """429 carries Slack's wish."""
    slack.answer_next(Answer(429, b"", 30))
    sender = bot(slack)
    with pytest.raises(NotifyError) as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert (True, 30.0) == (caught.value.retryable, caught.value.retry_after_s)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"app_token": Secret("xoxb-hidden")}, "invalid_auth"),
        ({"channel": "#nowhere"}, "channel_not_found"),
    ],
)
async def test_mistakes_in_the_settings_are_named(
    slack: FakeSlack, settings: dict[str, Any], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Slack's word for it is told, the token is not, nor is it logged."""
    caplog.set_level(logging.DEBUG)
    sender = bot(slack, **settings)
    with pytest.raises(NotifyError, match=error) as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert not caught.value.retryable
    assert "hidden" not in caplog.text + str(caught.value) + repr(sender)


async def test_alertmanagers_way_of_configuring_a_bot_works(slack: FakeSlack) -> None:
    """The method's address in ``api_url`` and the token in ``http_config`` are enough."""
    sender = SlackBotSender({
        "api_url": Secret(slack.api_url),
        "http_config": {"authorization": {"credentials": Secret(slack.token)}},
        "channel": "#alerts",
    })  # fmt: skip
    first = await sender.send(notification(), {})
    await sender.send(resolved(), first.thread)
    await sender.aclose()

    assert ["C0ALERTS", "C0ALERTS"] == [post.channel for post in slack.posts]


async def test_an_acknowledgement_is_shown_in_the_message_and_its_thread(slack: FakeSlack) -> None:
    """The message names the person and offers no acknowledgement any more."""
    sender = bot(slack)
    first = await sender.send(notification(), {})
    done = await sender.acknowledge(notification(), first.thread, "Ada <!here>")
    with pytest.raises(NotifyError, match="no message in Slack yet"):
        await sender.acknowledge(notification(), {}, "Ada")
    await sender.aclose()

    said = "\n".join(texts(slack.posts[0].body))
    assert "ok: acknowledged" == done.answer
    assert first.thread == done.thread
    assert "Acknowledged by Ada &lt;!here&gt;" in said
    assert "act/silence" in said
    assert "act/acknowledge" not in said
    assert "Acknowledged by Ada &lt;!here&gt;" == slack.posts[1].body["text"]


def test_the_note_is_shown() -> None:
    """Why the message comes stands in it."""
    told = notification(note="Escalation, step 2 of 3")

    assert "Escalation, step 2 of 3" in texts(payload(told, PLAIN))


async def test_settings_of_ones_own_shape_the_message(slack: FakeSlack) -> None:
    """Alertmanager's fields are templates whose markup works and whose values are escaped."""
    settings = {
        "api_url": Secret(slack.url),
        "channel": "#{{ .CommonLabels.team }}",
        "username": "{{ .Receiver }}",
        "title": "<!here> {{ .CommonLabels.alertname }}",
        "title_link": "https://x.example/?a=1&b=2",
        "text": "{{ range .Alerts }}{{ .Labels.job }}{{ end }}",
        "pretext": "before",
        "footer": "after",
        "color": '{{ if eq .Status "firing" }}warning{{ else }}good{{ end }}',
        "image_url": "https://x.example/i.png",
        "fields": [{"title": "Job", "value": "{{ .CommonLabels.job }}", "short": True}],
        "actions": [{"type": "button", "text": "Go", "url": "https://x.example/go"}],
    }
    sender = SlackWebhookSender(settings)
    await sender.send(notification(alert(team="a", job="<!channel>")), {})
    await sender.aclose()

    [body] = slack.messages
    attachment = body["attachments"][0]
    said = texts(attachment)
    assert ("#a", "team-a", "warning") == (body["channel"], body["username"], attachment["color"])
    assert "<https://x.example/?a=1&amp;b=2|<!here> ApiErrorRate>" == body["text"]
    assert "before" == said[said.index("mrkdwn") + 1]
    for part in ("&lt;!channel&gt;", "*Job*\n&lt;!channel&gt;", "after", "https://x.example/go"):
        assert part in said
    assert not any("*Severity*" in text for text in said)
    assert "https://x.example/i.png" in said


async def test_alertmanagers_default_texts_leave_our_own_form(slack: FakeSlack) -> None:
    """A field that only calls a default template is as if it were not there."""
    settings = {
        "api_url": Secret(slack.url),
        **{name: f'{{{{ template "slack.default.{name}" . }}}}' for name in
           ("title", "text", "color", "username", "footer", "pretext", "fallback")},
    }  # fmt: skip
    sender = SlackWebhookSender(settings)
    await sender.send(notification(), {})
    await sender.aclose()

    assert payload(notification(), Fields({})) == slack.messages[0]


async def test_a_failing_template_is_final_and_named(slack: FakeSlack) -> None:
    """It would fail again; nothing is sent."""
    sender = SlackWebhookSender({"api_url": Secret(slack.url), "title": "{{ .Nope }}"})
    with pytest.raises(NotifyError, match="the template of title fails") as caught:
        await sender.send(notification(), {})
    await sender.aclose()

    assert not caught.value.retryable
    assert [] == slack.messages
