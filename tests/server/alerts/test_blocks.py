"""What a Slack message holds, and that nothing in an alert can misuse it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from watchkeeper.server.alerts.blocks import payload
from watchkeeper.server.alerts.message import Message, Notice

NOTICE = Notice(
    labels={"alertname": "ApiErrorRate", "job": "api", "severity": "page"},
    annotations={
        "summary": "api fails 10% of its requests",
        "description": "Over the last 5m …",
        "runbook_url": "https://example.org/runbooks/api.md",
        "dashboard_url": "/#/d/overview?panel=error-ratio",
    },
    value=0.1,
    since_ms=1_767_225_600_000,
    dedup_key="k",
)


def message(*notices: Notice, firing: bool = True) -> Message:
    """Return a message of *notices*."""
    return Message("ApiErrorRate", firing, notices or (NOTICE,))


def texts(value: Any) -> list[str]:
    """Return every text of a payload."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def hostile(text: str) -> Notice:
    """Return a notice that carries *text* everywhere."""
    return Notice(
        labels={"alertname": text, "job": text, "severity": text, text: text},
        annotations={
            "summary": text,
            "description": text,
            "runbook_url": text,
            "dashboard_url": text,
        },
        value=1.0,
        since_ms=0,
        dedup_key="k",
    )


def test_a_firing_message_says_what_since_when_how_bad_and_on_what() -> None:
    """Everything that somebody needs at night is in the message, with links."""
    body = payload(message(), external_url="http://127.0.0.1:8400")
    said = "\n".join(texts(body))

    assert "[FIRING] ApiErrorRate: api fails 10% of its requests" == body["text"]
    assert "#d0342c" == body["attachments"][0]["color"]
    for part in (
        "*Since*\n<!date^1767225600^", "2026-01-01 00:00:00 UTC>", "*How bad*\n0.1",
        "*On what*\njob: api", "*Severity*\npage",
        "<http://127.0.0.1:8400/#/alerts?name=ApiErrorRate|Alert>",
        "<http://127.0.0.1:8400/#/d/overview?panel=error-ratio|Dashboard>",
        "<https://example.org/runbooks/api.md|Runbook>",
    ):  # fmt: skip
        assert part in said


def test_a_resolved_message_is_green() -> None:
    """The colour and the word say that it is over."""
    body = payload(message(firing=False))

    assert body["text"].startswith("[RESOLVED] ApiErrorRate")
    assert "#2e9e5b" == body["attachments"][0]["color"]


def test_without_an_address_links_are_left_out() -> None:
    """A relative link is not made up; its text is still shown."""
    said = "\n".join(texts(payload(message())))

    assert "Dashboard: /#/d/overview?panel=error-ratio" in said
    assert "|Dashboard>" not in said


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>", "<!here>", "<@U123>", "<https://evil.example|click>", "a & b < c > d",
        "@channel", "@here", "@Everyone", "javascript:alert(1)", "<script>alert(1)</script>",
        "https://x.example/>|<!channel>", "http://[", "x" * 5000, "&" * 3000,
    ],
)  # fmt: skip
def test_nothing_in_an_alert_can_mention_or_link(text: str) -> None:
    """Markup, mentions and addresses of other schemes in labels and texts lose their power."""
    shown = hostile(text)
    body = payload(Message(text, True, (shown,)), external_url="http://127.0.0.1:8400")
    for said in texts(body):
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
def test_messages_stay_within_slacks_limits(count: int) -> None:
    """At most 50 blocks, 10 fields of 2,000 and texts of 3,000 characters; the rest is counted."""
    notices = tuple(hostile("&" * 3000) for _ in range(count))
    body = payload(message(*notices), external_url="http://127.0.0.1:8400")
    blocks = body["attachments"][0]["blocks"]

    assert len(blocks) <= 50
    for block in blocks:
        assert len(block.get("text", {}).get("text", "")) <= 3000
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
        assert all(len(item["text"]) <= 3000 for item in block.get("elements", []))
    assert (count > 8) == (f"… and {count - 8} more" in json.dumps(body, ensure_ascii=False))
