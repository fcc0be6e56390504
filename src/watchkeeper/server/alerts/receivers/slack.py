"""Slack: an incoming webhook, or a bot that keeps one message per group up to date.

Answers: docs.slack.dev, "Sending messages using incoming webhooks", "chat.postMessage",
"chat.update" and "Rate limits".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.chat_text import escaped
from watchkeeper.server.alerts.notification import Delivery, GroupAlert, Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.http import Answered, Poster, failure
from watchkeeper.server.alerts.receivers.settings import (
    Settings,
    revealed,
    secret,
    section,
    text,
    timeout_s,
)
from watchkeeper.server.alerts.receivers.slack_blocks import attachment
from watchkeeper.server.alerts.receivers.slack_own import with_own
from watchkeeper.server.alerts.receivers.story import Story, cut, tell
from watchkeeper.server.alerts.templates.store import Templates

__all__ = ["SlackBotSender", "SlackWebhookSender", "is_bot", "payload", "reply"]

_METHOD = "chat.postMessage"
_POST_URL = f"https://slack.com/api/{_METHOD}"
_FALLBACK_MAX = 2_000
_MEMBERS_KEPT_MAX = 500
"""Members whose state is remembered between two messages, 9 characters each."""
_LISTED_MAX = 5
_TRANSIENT = frozenset({
    "fatal_error", "internal_error", "rate_limited", "ratelimited", "request_timeout",
    "service_unavailable", "team_added_to_org",
})  # fmt: skip
"""Errors of the Web API after which Slack's pages advise another attempt."""
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""The message cannot be changed any more: a new one takes its place."""


def is_bot(settings: Settings) -> bool:
    """Tell whether *settings* are a bot's: a token, or the address of ``chat.postMessage``.

    Raises:
        NotifyError: The file that holds the address cannot be read.
    """
    if secret(settings, "app_token"):
        return True
    url = secret(settings, "api_url")
    return bool(url) and urlsplit(revealed(url, "api_url")).path.endswith(f"/{_METHOD}")


def payload(notification: Notification, fields: Fields) -> dict[str, Any]:
    """Return the message: its text is what a phone shows, its attachment the rest.

    Raises:
        NotifyError: A template of the settings fails.
    """
    story = tell(notification)
    body: dict[str, Any] = {
        "text": escaped(story.glance, _FALLBACK_MAX),
        "attachments": [attachment(story)],
    }
    return with_own(body, fields, notification)


def reply(story: Story, began: Sequence[str], ended: Sequence[str]) -> str:
    """Return the line for the message's thread.

    Args:
        story: What is said.
        began: What fires now and did not before.
        ended: What fired before and does not now.
    """
    title = escaped(story.title, _FALLBACK_MAX)
    lines = [
        f"{word} {_listed(names)}" for word, names in (("New:", began), ("Over:", ended)) if names
    ]
    if not story.firing:
        return "\n".join([title, "All over.", *lines])
    return "\n".join([title, *lines]) if lines else f"Still firing: {title}"


class SlackWebhookSender:
    """One element of ``slack_configs`` with an incoming webhook."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._url = secret(settings, "api_url")
        self._poster = Poster(section(settings, "http_config"), timeout_s(settings))

    async def aclose(self) -> None:
        """Close connections."""
        await self._poster.aclose()

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Post a message; success is 200 with the body ``ok`` and nothing else.

        Raises:
            NotifyError: Slack did not take it. Retryable after a network error, a timeout, 429
                (with Slack's wish in ``retry_after_s``) and 5xx; not after other answers.
        """
        del thread  # a webhook cannot change what it said
        url = revealed(self._url, "api_url")
        answer = await self._poster.post(url, payload(notification, self._fields))
        if answer.status == 200 and (answer.body == "ok" or _is_ok(answer)):
            return Delivery("ok")
        raise failure(answer)


class SlackBotSender:
    """One element of ``slack_configs`` with a bot's token.

    A group has one message. Later notifications change it, so that it shows the members as they
    are, green at the end; what changed stands in its thread, and what is new or still firing is
    shown in the channel too, since nobody is told of a change.
    """

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._token = secret(settings, "app_token")
        self._url = secret(settings, "api_url")
        self._poster = Poster(section(settings, "http_config"), timeout_s(settings))

    async def aclose(self) -> None:
        """Close connections."""
        await self._poster.aclose()

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Post the group's message, or change it and tell what changed.

        Raises:
            NotifyError: Slack did not take it; as for the webhook. Errors by name are final but
                for those after which Slack advises another attempt.
        """
        body = payload(notification, self._fields)
        channel, ts = thread.get("channel", ""), thread.get("ts", "")
        if channel and ts:
            try:
                await self._call("chat.update", {**body, "channel": channel, "ts": ts})
            except _SlackError as error:
                if error.name not in _GONE:
                    raise
            else:
                return await self._tell_change(notification, thread)
        answer = await self._call(_METHOD, {**body, "unfurl_links": False})
        kept = {
            "channel": str(answer.get("channel", "")),
            "ts": str(answer.get("ts", "")),
            "firing": _keys(notification),
        }
        return Delivery("ok: posted", kept)

    async def acknowledge(
        self, notification: Notification, thread: Mapping[str, str], by: str
    ) -> Delivery:
        """Tell in the group's message and in its thread that *by* acknowledged it.

        Raises:
            NotifyError: As `send`; final if the group has no message.
        """
        if not (thread.get("channel") and thread.get("ts")):
            raise NotifyError("the group has no message in Slack yet", retryable=False)
        said = f"Acknowledged by {by}"
        told = replace(
            notification,
            note=f"{said}. {notification.note}" if notification.note else said,
            links=replace(notification.links, acknowledge=""),
        )
        where = {"channel": thread["channel"]}
        body = {**payload(told, self._fields), **where, "ts": thread["ts"]}
        await self._call("chat.update", body)
        line = {**where, "thread_ts": thread["ts"], "text": escaped(said), "unfurl_links": False}
        await self._call(_METHOD, line)
        return Delivery("ok: acknowledged", dict(thread))

    async def _tell_change(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        before = set(thread.get("firing", "").split())
        firing = notification.firing
        began = [_named(alert) for alert in firing if _key(alert) not in before]
        ended = [_named(alert) for alert in notification.resolved if _key(alert) in before]
        if len(before) >= _MEMBERS_KEPT_MAX:
            began = []  # not all that fired before are known
        body = {
            "channel": thread["channel"],
            "thread_ts": thread["ts"],
            "text": reply(tell(notification), began, ended),
            "reply_broadcast": bool(began) or (bool(firing) and not ended),
            "unfurl_links": False,
        }
        await self._call(_METHOD, body)
        return Delivery("ok: updated", {**thread, "firing": _keys(notification)})

    async def _call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = (
            revealed(self._url, "api_url") if self._url else text(self._fields.settings, "app_url")
        )
        url = url or _POST_URL
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self._token:
            headers["Authorization"] = f"Bearer {revealed(self._token, 'app_token')}"
        target = url.removesuffix(_METHOD) + method
        answer = await self._poster.post(target, orjson.dumps(body), headers)
        if answer.status != 200:
            raise failure(answer)
        said = _object(answer)
        if said.get("ok") is not True:
            raise _SlackError(method, str(said.get("error", answer.body[:200])))
        return said


class _SlackError(NotifyError):
    """An error that the Web API named.

    Attributes:
        name: Slack's word for it.
    """

    def __init__(self, method: str, name: str) -> None:
        super().__init__(f"{method}: {cut(name, 200)}", retryable=name in _TRANSIENT)
        self.name = name


def _object(answer: Answered) -> dict[str, Any]:
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _is_ok(answer: Answered) -> bool:
    return _object(answer).get("ok") is True


def _key(alert: GroupAlert) -> str:
    return hashlib.sha256(alert.fingerprint.encode()).hexdigest()[:8]


def _keys(notification: Notification) -> str:
    return " ".join([_key(alert) for alert in notification.firing[:_MEMBERS_KEPT_MAX]])


def _named(alert: GroupAlert) -> str:
    summary = alert.annotations.get("summary", "")
    labels = ", ".join(f"{k}={v}" for k, v in sorted(alert.labels.items()) if k != "alertname")
    return summary or labels or alert.labels.get("alertname", "")


def _listed(names: Sequence[str]) -> str:
    shown = "; ".join(escaped(" ".join(name.split()), 300) for name in names[:_LISTED_MAX])
    more = len(names) - _LISTED_MAX
    return shown + (f" … and {more} more" if more > 0 else "")
