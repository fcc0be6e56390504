"""What the settings of a Slack receiver say of their own, put into the message's blocks.

Sources: Alertmanager's documentation, ``<slack_config>``; docs.slack.dev, "Reference: blocks".
Values of alerts are escaped; the author's markup, mentions and links work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchkeeper.server.alerts.chat_text import linkable
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.story import absolute, cut

__all__ = ["with_own"]

_TEXT_MAX, _FIELD_MAX, _FIELDS_MAX, _BUTTON_MAX, _BLOCKS_MAX = 2_900, 1_900, 10, 75, 50
_HEADLINE_MAX = 2_000


def with_own(body: dict[str, Any], fields: Fields, notification: Notification) -> dict[str, Any]:
    """Return *body* changed by what the settings say.

    ``title`` and ``title_link`` (or ``message_text``) change the message's text; ``text`` and
    ``fields`` take the place of our description and facts; ``pretext``, ``footer``, ``image_url``,
    ``thumb_url`` and ``actions`` with a ``url`` are added; ``color``, ``fallback``, ``channel``,
    ``username`` and the icons are set.

    Raises:
        NotifyError: A template fails.
    """
    changed = dict(body)
    attachment = dict(body["attachments"][0])
    headline = fields.own_text("message_text", notification, "slack") or _title(
        fields, notification
    )
    if headline:
        changed["text"] = cut(headline, _HEADLINE_MAX)
    for name in ("channel", "username", "icon_emoji", "icon_url"):
        value = fields.own_text(name, notification)
        if value:
            changed[name] = value
    if fields.settings.get("link_names"):
        changed["link_names"] = True
    for name, key in (("color", "color"), ("fallback", "fallback")):
        value = fields.own_text(name, notification)
        if value:
            attachment[key] = cut(value, _HEADLINE_MAX)
    attachment["blocks"] = _blocks(attachment["blocks"], fields, notification)
    changed["attachments"] = [attachment]
    return changed


def _title(fields: Fields, notification: Notification) -> str:
    title = fields.own_text("title", notification, "slack")
    url = absolute(fields.own_text("title_link", notification))
    return f"<{linkable(url)}|{title}>" if url and title else title


def _blocks(
    blocks: list[dict[str, Any]], fields: Fields, notification: Notification
) -> list[dict[str, Any]]:
    text = fields.own_text("text", notification, "slack")
    facts = _facts(fields, notification)
    kept = blocks
    if text or facts:
        kept = [block for block in blocks if block["type"] != "section"]
    found = _sections(fields.own_text("pretext", notification, "slack")) + _sections(text) + facts
    thumb = absolute(fields.own_text("thumb_url", notification))
    if thumb and found and found[0]["type"] == "section":
        found[0]["accessory"] = {"type": "image", "image_url": thumb, "alt_text": "image"}
    image = absolute(fields.own_text("image_url", notification))
    if image:
        found.append({"type": "image", "image_url": image, "alt_text": "image"})
    buttons = _buttons(fields, notification)
    if buttons:
        found.append({"type": "actions", "elements": buttons})
    footer = cut(fields.own_text("footer", notification, "slack"), _TEXT_MAX)
    ending = (
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": footer}]}] if footer else []
    )
    return [*found, *kept, *ending][:_BLOCKS_MAX]


def _sections(text: str) -> list[dict[str, Any]]:
    whole = text.strip()
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": whole[start : start + _TEXT_MAX]}}
        for start in range(0, min(len(whole), 10 * _TEXT_MAX), _TEXT_MAX)
    ]


def _facts(fields: Fields, notification: Notification) -> list[dict[str, Any]]:
    shown = []
    for entry in fields.settings.get("fields") or ():
        title = fields.rendered(str(entry.get("title", "")), "fields.title", notification, "slack")
        value = fields.rendered(str(entry.get("value", "")), "fields.value", notification, "slack")
        shown.append({"type": "mrkdwn", "text": cut(f"*{title}*\n{value}", _FIELD_MAX)})
    return [
        {"type": "section", "fields": shown[start : start + _FIELDS_MAX]}
        for start in range(0, len(shown), _FIELDS_MAX)
    ]


def _buttons(fields: Fields, notification: Notification) -> list[dict[str, Any]]:
    found = []
    for number, action in enumerate(fields.settings.get("actions") or ()):
        if not isinstance(action, Mapping) or not action.get("url"):
            continue  # a button without an address needs a server of Slack's interactions
        url = absolute(fields.rendered(str(action["url"]), "actions.url", notification))
        label = fields.rendered(str(action.get("text", "")), "actions.text", notification)
        style = fields.rendered(str(action.get("style", "")), "actions.style", notification)
        if url and label:
            found.append({
                "type": "button", "action_id": f"own{number}", "url": url,
                "text": {"type": "plain_text", "text": cut(label, _BUTTON_MAX)},
                **({"style": style} if style in {"primary", "danger"} else {}),
            })  # fmt: skip
    return found[:25]
