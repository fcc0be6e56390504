"""A group as a mail: pure, with headers that nothing in an alert can add to.

Sources: RFC 5322 (messages, threading), RFC 2046 (alternatives), RFC 3834 (automatic mails);
Alertmanager's documentation, ``<email_config>``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.receivers.email_html import html
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.settings import section
from watchkeeper.server.alerts.receivers.story import Story, cut, rank, tell
from watchkeeper.server.alerts.receivers.story_text import plain

__all__ = ["Letter", "payload"]

_SUBJECT_MAX = 250
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_OURS = frozenset({
    "bcc", "cc", "content-transfer-encoding", "content-type", "date", "from", "in-reply-to",
    "message-id", "mime-version", "references", "subject", "to",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    message_id: str


def payload(notification: Notification, fields: Fields, thread: Mapping[str, str]) -> Letter:
    """Return the mail.

    Args:
        notification: What is said.
        fields: The settings.
        thread: What the last mail about this group left: ``root`` and ``last``, message ids.

    Raises:
        NotifyError: A template fails, or an address is none; final.
    """
    headers = {
        str(name).lower(): (str(name), value)
        for name, value in section(fields.settings, "headers").items()
    }
    senders = _addresses(fields, "from", notification)
    if len(senders) != 1:
        raise _wrong("from", "exactly one address")
    recipients = _addresses(fields, "to", notification)
    story = tell(notification)
    message = EmailMessage(policy=SMTP)
    message["From"] = _shown(headers, "from", fields, notification, senders)
    message["To"] = _shown(headers, "to", fields, notification, recipients)
    for name in ("Cc", "Reply-To"):
        if name.lower() in headers:
            message[name] = _parsed(_header(headers, name, fields, notification), name)
    message["Subject"] = cut(
        _clean(_header(headers, "Subject", fields, notification) or story.title), _SUBJECT_MAX
    )
    message["Date"] = formatdate(notification.now_ms / 1000)
    message_id = _message_id(notification, senders[0])
    message["Message-ID"] = message_id
    if thread.get("last"):
        message["In-Reply-To"] = thread["last"]
        known = (thread.get("root", ""), thread["last"])
        message["References"] = " ".join(dict.fromkeys(one for one in known if one))
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["X-Watchkeeper-Status"] = notification.status
    if story.firing and rank(story.severity) == "critical":
        message["Importance"] = "high"
        message["X-Priority"] = "1"
    for lower, (name, value) in headers.items():
        if lower not in _OURS and lower != "reply-to" and _HEADER_NAME.fullmatch(name):
            shown = _clean(fields.rendered(str(value), f"headers.{name}", notification))
            del message[name]
            message[name] = shown
    _bodies(message, story, notification, fields)
    return Letter(
        senders[0].addr_spec, tuple(one.addr_spec for one in recipients), message, message_id
    )


def _bodies(
    message: EmailMessage, story: Story, notification: Notification, fields: Fields
) -> None:
    own_text = fields.own_text("text", notification)
    own_html = fields.own_text("html", notification, "html")
    message.set_content(_lines(own_text or plain(story)), cte="quoted-printable")
    if fields.settings.get("html") == "" and own_text:
        return  # switched off
    message.add_alternative(_lines(own_html or html(story)), subtype="html", cte="quoted-printable")


def _lines(text: str) -> str:
    """Return *text* with line ends of one kind, and no characters that mail cannot carry."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return (
        "".join(one for one in plain if one >= " " or one in "\n\t")
        .encode("utf-8", "replace")
        .decode()
    )


def _clean(text: str) -> str:
    """Return *text* as one line of a header."""
    return _CONTROL.sub(" ", text).encode("utf-8", "replace").decode().strip()


def _header(
    headers: Mapping[str, tuple[str, object]], name: str, fields: Fields, notification: Notification
) -> str:
    entry = headers.get(name.lower())
    if entry is None or (isinstance(entry[1], str) and fields.is_default(entry[1])):
        return ""
    return _clean(fields.rendered(str(entry[1]), f"headers.{entry[0]}", notification))


def _shown(
    headers: Mapping[str, tuple[str, object]],
    name: str,
    fields: Fields,
    notification: Notification,
    default: tuple[Address, ...],
) -> tuple[Address, ...]:
    own = _header(headers, name, fields, notification)
    return _parsed(own, f"headers.{name}") if own else default


def _addresses(fields: Fields, name: str, notification: Notification) -> tuple[Address, ...]:
    return _parsed(_clean(fields.text(name, notification)), name)


def _parsed(text: str, name: str) -> tuple[Address, ...]:
    found = []
    for shown, spec in getaddresses([text]):
        try:
            address = Address(display_name=_clean(shown), addr_spec=spec)
            spec.encode("ascii")
        except (ValueError, IndexError):
            raise _wrong(name, "addresses such as ops@example.org") from None
        if not address.domain or not address.username:
            raise _wrong(name, "addresses such as ops@example.org")
        found.append(address)
    if not found:
        raise _wrong(name, "one address or more")
    return tuple(found)


def _wrong(name: str, accepted: str) -> NotifyError:
    return NotifyError(
        f"{name} of the mail is no list of addresses. Accepted: {accepted}. "
        "Next: correct the receiver's settings.",
        retryable=False,
    )


def _message_id(notification: Notification, sender: Address) -> str:
    """Return an id that a repeated attempt has again, so that mail programs show one of them."""
    key = notification.key or f"{notification.group_key}\n{notification.now_ms}"
    digest = hashlib.sha256(f"{notification.receiver}\n{key}".encode()).hexdigest()[:40]
    return f"<{digest}@{sender.domain}>"
