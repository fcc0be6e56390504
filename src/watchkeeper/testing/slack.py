"""A Slack that answers like the real one, on loopback: incoming webhook and Web API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from watchkeeper.testing.http_fake import Answer, HttpFake, Request

__all__ = ["Answer", "FakeSlack", "SlackPost"]

_BLOCKS_MAX = 50
_TEXT_MAX, _FIELD_MAX, _FIELDS_MAX = 3_000, 2_000, 10
_WHOLE_TEXT_MAX = 40_000
_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(slots=True)
class SlackPost:
    """One message as the channel shows it now."""

    channel: str
    """Id of the channel."""
    ts: str
    """Identifies the message in its channel."""
    body: dict[str, Any]
    """What was last said of it: ``text``, ``attachments``, ``blocks``."""
    thread_ts: str = ""
    """The message it answers, or empty."""
    broadcast: bool = False
    """Whether the channel shows the reply too."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Earlier bodies, oldest first; one for each update."""


class FakeSlack(HttpFake):
    """A workspace on 127.0.0.1 with one incoming webhook and one bot; a context manager.

    Answers are those documented at docs.slack.dev. The webhook ("Sending messages using incoming
    webhooks"): 200 with the body ``ok``, 4xx with a reason in plain text, 429 with Retry-After.
    The methods ``chat.postMessage`` and ``chat.update``: 200 with ``{"ok": true, …}`` or
    ``{"ok": false, "error": …}``, 429 with Retry-After. Bodies beyond Slack's limits (50 blocks,
    3,000 characters in a text, 10 fields of 2,000) are refused as Slack does.

    Args:
        channels: Names of the channels that exist, with their ids.

    Attributes:
        messages: The decoded bodies received, oldest first, refused ones included.
        posts: What the bot's channels show, oldest first.
    """

    token = "xoxb-fake-0000-token"  # noqa: S105 - guards nothing
    """The only bot token that is let in."""

    def __init__(self, channels: dict[str, str] | None = None) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.posts: list[SlackPost] = []
        self._channels = channels if channels is not None else {"#alerts": "C0ALERTS"}

    @property
    def url(self) -> str:
        """The webhook's URL, a secret."""
        return f"{self.base_url}/services/T0/B0/secret"

    @property
    def api_url(self) -> str:
        """The URL of ``chat.postMessage``."""
        return f"{self.base_url}/api/chat.postMessage"

    def keep(self, request: Request) -> None:
        """Decode a body that can be decoded."""
        body = _decoded(request.body)
        if body is not None:
            self.messages.append(body)

    def answer_to(self, request: Request) -> Answer:
        """Do what a webhook, or the method that the path names, does."""
        body = _decoded(request.body)
        if not request.path.startswith("/api/"):
            if body is None or not (body.get("text") or body.get("attachments")):
                return Answer(400, b"invalid_payload")
            wrong = _problem(body)
            return Answer(400, wrong.encode()) if wrong else Answer()
        if "authorization" not in request.headers:
            return _error("not_authed")
        if request.headers["authorization"] != f"Bearer {self.token}":
            return _error("invalid_auth")
        if body is None:
            return _error("invalid_json")
        methods = {"/api/chat.postMessage": self._post, "/api/chat.update": self._update}
        method = methods.get(request.path)
        return _error("unknown_method") if method is None else method(body)

    def _post(self, body: dict[str, Any]) -> Answer:
        wanted = body.get("channel", "")
        ids = {**self._channels, **{name.lstrip("#"): id_ for name, id_ in self._channels.items()}}
        channel = wanted if wanted in ids.values() else ids.get(wanted)
        if channel is None:
            return _error("channel_not_found")
        wrong = _problem(body) or self._unknown_thread(channel, body.get("thread_ts", ""))
        if wrong:
            return _error(wrong)
        ts = f"1700000000.{len(self.posts) + 1:06d}"
        self.posts.append(
            SlackPost(
                channel, ts, body, body.get("thread_ts", ""), bool(body.get("reply_broadcast"))
            )
        )
        return _ok(channel, ts)

    def _unknown_thread(self, channel: str, ts: str) -> str:
        return "" if not ts or self._found(channel, ts) else "thread_not_found"

    def _update(self, body: dict[str, Any]) -> Answer:
        channel, ts = body.get("channel", ""), body.get("ts", "")
        if channel not in self._channels.values():
            return _error("channel_not_found")
        post = self._found(channel, ts)
        if post is None:
            return _error("message_not_found")
        wrong = _problem(body)
        if wrong:
            return _error(wrong)
        post.history.append(post.body)
        post.body = body
        return _ok(channel, ts)

    def _found(self, channel: str, ts: str) -> SlackPost | None:
        return next((p for p in self.posts if (p.channel, p.ts) == (channel, ts)), None)


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _ok(channel: str, ts: str) -> Answer:
    return Answer(200, orjson.dumps({"ok": True, "channel": channel, "ts": ts}), headers=_JSON)


def _error(name: str) -> Answer:
    return Answer(200, orjson.dumps({"ok": False, "error": name}), headers=_JSON)


def _problem(body: dict[str, Any]) -> str:
    """Return Slack's name for what is wrong with *body*, or nothing."""
    if not (body.get("text") or body.get("blocks") or body.get("attachments")):
        return "no_text"
    if len(body.get("text") or "") > _WHOLE_TEXT_MAX:
        return "msg_too_long"
    lists = [body.get("blocks") or []]
    lists += [item.get("blocks") or [] for item in body.get("attachments") or []]
    for blocks in lists:
        if len(blocks) > _BLOCKS_MAX or not all(_fits(block) for block in blocks):
            return "invalid_blocks"
    return ""


def _fits(block: dict[str, Any]) -> bool:
    fields = block.get("fields") or []
    elements = block.get("elements") or []
    texts = [block["text"]["text"]] if block.get("text") else []
    texts += [item["text"] for item in elements if item.get("type") == "mrkdwn"]
    buttons = [item for item in elements if item.get("type") == "button"]
    return (
        all(0 < len(text) <= _TEXT_MAX for text in texts)
        and len(fields) <= _FIELDS_MAX
        and all(0 < len(item["text"]) <= _FIELD_MAX for item in fields)
        and all(len(item["text"]["text"]) <= 75 for item in buttons)
        and all(len(item.get("url", "")) <= _TEXT_MAX for item in buttons)
    )
