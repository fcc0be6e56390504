"""Mails: what they say, what nothing in an alert can do to them, and what servers answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from html.parser import HTMLParser
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
)

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.receivers.email import EmailSender
from watchkeeper.server.alerts.receivers.email_message import payload
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.testing import FakeSmtp, Mail, SmtpAnswer

ADDRESSES = {"from": "watchkeeper@example.org", "to": "Ops <ops@example.org>, b@example.org"}


@pytest.fixture
def mail() -> Iterator[FakeSmtp]:
    """Yield a mail server."""
    with FakeSmtp(user="u", password="p") as fake:
        yield fake


def sender_to(mail: FakeSmtp, **settings: Any) -> EmailSender:
    """Return a sender that logs in."""
    given = {
        "smarthost": mail.address,
        "auth_username": mail.user,
        "auth_password": Secret(mail.password),
        "tls_config": {"ca_file": mail.ca_file},
        "timeout_ms": 3_000,
        **ADDRESSES,
    }
    return EmailSender({**given, **settings})


def parts(told: Notification, **settings: Any) -> tuple[str, str]:
    """Return the text and the HTML part of a mail."""
    message = payload(told, Fields({**ADDRESSES, **settings}), {}).message
    found = [part.get_content() for part in message.walk() if not part.is_multipart()]
    return found[0], found[1] if len(found) > 1 else ""


class _Elements(HTMLParser):
    """Collects elements, addresses and shown text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.hrefs: list[str] = []
        self.shown = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.hrefs += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.shown += data


async def test_a_mail_goes_encrypted_and_logged_in_to_all(mail: FakeSmtp) -> None:
    """STARTTLS, AUTH, the envelope and the headers are as they must be."""
    delivery = await sender_to(mail).send(notification(), {})
    [one] = mail.mails
    message = one.message

    assert "250 taken" == delivery.answer
    assert (True, "u") == (one.encrypted, one.user)
    assert ("watchkeeper@example.org", ("ops@example.org", "b@example.org")) == (
        one.sender, one.recipients,
    )  # fmt: skip
    assert "Ops <ops@example.org>, b@example.org" == message["To"]
    assert "[FIRING] ApiErrorRate: api fails 10% of its requests" == message["Subject"]
    assert ("auto-generated", "high", "firing") == (
        message["Auto-Submitted"], message["Importance"], message["X-Watchkeeper-Status"],
    )  # fmt: skip
    assert "Thu, 01 Jan 2026 00:12:00 -0000" == message["Date"]
    assert "multipart/alternative" == message.get_content_type()
    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]


async def test_the_mails_of_a_group_are_one_thread(mail: FakeSmtp) -> None:
    """Each one answers the one before; a repeated attempt has the same id."""
    sender = sender_to(mail)
    first = await sender.send(notification(key="k1"), {})
    again = await sender.send(notification(key="k1"), {})
    second = await sender.send(notification(key="k2"), first.thread)
    await sender.send(resolved(key="k3"), second.thread)
    one, two, three, four = [mail.message for mail in mail.mails]

    assert first == again
    assert one["Message-ID"] == two["Message-ID"] != three["Message-ID"]
    assert one["In-Reply-To"] is None
    assert one["Message-ID"] == three["In-Reply-To"] == three["References"]
    assert three["Message-ID"] == four["In-Reply-To"]
    assert f"{one['Message-ID']} {three['Message-ID']}" == four["References"]
    assert four["Subject"].startswith("[RESOLVED] ApiErrorRate")


def test_both_parts_say_everything_that_is_needed_at_night() -> None:
    """What, since when, how bad, on what, what changed, where to look, what to press."""
    text, html = parts(notification(note="Escalation, step 2"))
    shown = _Elements(html)
    for part in (
        "ApiErrorRate: api fails 10% of its requests", "Over the last 5m …", "page",
        "2026-01-01 00:00:00 UTC (12m)", "0.1", "job=api", "Escalation, step 2",
        "Changed lately: api deployed v1.2.3 5m before",
    ):  # fmt: skip
        assert part in text
        assert part in shown.shown
    for url in (
        "http://127.0.0.1:8400/act/acknowledge?token=SIGNED&x=1",
        "http://127.0.0.1:8400/act/silence?token=SIGNED", "https://example.org/runbooks/api.md",
        "http://127.0.0.1:8400/#/d/overview?panel=error-ratio", "http://127.0.0.1:8400/#/trace/abc",
    ):  # fmt: skip
        assert url in text
        assert url in shown.hrefs


def test_many_alerts_are_a_bounded_list_and_a_count() -> None:
    """Ten are listed; the mail says how many more there are."""
    members = [alert(instance=f"host-{number}") for number in range(30)]
    for part in parts(notification(*members, truncated=5)):
        assert "instance=host-9 " in part or "instance=host-9<" in part
        assert "host-10" not in part
        assert "… and 25 more" in part


def test_a_resolved_mail_offers_nothing_to_press() -> None:
    """It says how long it lasted."""
    text, html = parts(resolved())

    assert "Lasted:     10m" in text
    assert "acknowledge" not in text + html
    assert "RESOLVED" in html


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("own", [False, True])
async def test_nothing_in_an_alert_reaches_headers_or_markup(
    mail: FakeSmtp,
    text: str,
    own: bool,  # noqa: FBT001 - with and without templates of one's own
) -> None:
    """Line ends add no header, markup is shown as text, and no address of another scheme links."""
    every = "{{ range .Alerts }}{{ .Labels.job }} {{ .Annotations.summary }}{{ end }}"
    settings = {
        "headers": {"Subject": every, "X-Own": every},
        "html": f'<p title="{every}">{every}<a href="{every}">x</a></p>',
        "text": every,
    } if own else {}  # fmt: skip
    await sender_to(mail, **settings).send(hostile(text, 2), {})
    [one] = mail.mails
    expected = {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
        "X-Auto-Response-Suppress", "X-Watchkeeper-Status", "Content-Type",
    }  # fmt: skip

    assert expected | ({"X-Own"} if own else set()) == set(one.message.keys())
    assert ("ops@example.org", "b@example.org") == one.recipients
    document = [part.get_content() for part in one.message.iter_parts()][1]
    found = _Elements(document)
    assert not {"script", "img"} & found.tags
    assert not any(name.startswith("on") for name in found.names)
    assert all(href.startswith(("http://", "https://", "#")) or ":" not in href for href in found.hrefs)  # fmt: skip


def test_settings_of_ones_own_are_templates() -> None:
    """Headers, text and HTML say what they are told to; HTML can be switched off."""
    told = notification(alert(job="<b>&"))
    settings = {
        "headers": {
            "Subject": "S {{ .Status }}", "X-Team": "{{ .Receiver }}", "To": "shown@example.org",
            "reply-to": "re@example.org",
        },
        "html": "<p>{{ .CommonLabels.job }}</p>",
        "text": "{{ .CommonLabels.job }}",
        "to": "{{ .CommonLabels.alertname }}@example.org",
    }  # fmt: skip
    letter = payload(told, Fields({**ADDRESSES, **settings}), {})
    message = letter.message

    assert ("S firing", "team-a", "shown@example.org", "re@example.org") == (
        message["Subject"], message["X-Team"], message["To"], message["Reply-To"],
    )  # fmt: skip
    assert ("ApiErrorRate@example.org",) == letter.recipients
    assert ("<b>&\n", "<p>&lt;b&gt;&amp;</p>\n") == parts(told, **settings)
    assert (
        "text/plain"
        == payload(
            told, Fields({**ADDRESSES, "html": "", "text": "t"}), {}
        ).message.get_content_type()
    )


def test_alertmanagers_default_texts_leave_our_own_form() -> None:
    """A field that only calls a default template is as if it were not there."""
    settings = {
        "html": '{{ template "email.default.html" . }}',
        "headers": {"Subject": '{{ template "email.default.subject" . }}'},
    }

    assert parts(notification()) == parts(notification(), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": ""}, "to of the mail"),
        ({"to": "nobody"}, "to of the mail"),
        ({"to": "a@b@c"}, "to of the mail"),
        ({"from": "a@x.example, b@x.example"}, "exactly one address"),
        ({"to": "{{ .Nope }}"}, "the template of to fails"),
        ({"html": "{{ .Nope }}"}, "the template of html fails"),
        ({"headers": {"Subject": "{{ .Nope }}"}}, "the template of headers.Subject fails"),
        ({"smarthost": "example.org"}, "smarthost"),
    ],
)
async def test_mistakes_in_the_settings_are_final_and_named(
    mail: FakeSmtp, settings: dict[str, Any], message: str
) -> None:
    """The error names the field."""
    with pytest.raises(NotifyError, match=message) as caught:
        await sender_to(mail, **settings).send(notification(), {})

    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "retryable", "message"),
    [
        (SmtpAnswer("CONNECT", 421, "busy"), True, "421 busy"),
        (SmtpAnswer("CONNECT", 554, "go away"), False, "554 go away"),
        (SmtpAnswer("STARTTLS", 454, "no TLS now"), True, "454"),
        (SmtpAnswer("AUTH", 454, "later"), True, "454"),
        (SmtpAnswer("AUTH", 535, "wrong"), False, "535 wrong"),
        (SmtpAnswer("MAIL", 451, "later"), True, "the sender was refused: 451"),
        (SmtpAnswer("MAIL", 550, "never"), False, "the sender was refused: 550"),
        (SmtpAnswer("RCPT", 450, "full"), True, "a recipient was refused: 450"),
        (SmtpAnswer("DATA", 451, "later"), True, "451"),
        (SmtpAnswer("DATA", 554, "never"), False, "554"),
        (SmtpAnswer("MESSAGE", 452, "disk"), True, "the mail was refused: 452"),
        (SmtpAnswer("MESSAGE", 554, "spam"), False, "the mail was refused: 554"),
        (SmtpAnswer("MESSAGE", lost=True), True, "SMTPServerDisconnected"),
        (SmtpAnswer("RCPT", drop=True), True, "SMTPServerDisconnected"),
    ],
)
async def test_codes_say_whether_a_retry_helps(
    mail: FakeSmtp,
    answer: SmtpAnswer,
    retryable: bool,  # noqa: FBT001 - a column of the table above
    message: str,
) -> None:
    """400 to 499 and broken connections are worth another attempt, from 500 it is final."""
    mail.answer_next(answer)
    with pytest.raises(NotifyError, match=message) as caught:
        await sender_to(mail).send(notification(), {})

    assert retryable == caught.value.retryable


async def test_one_bad_recipient_does_not_keep_the_others_from_being_told(mail: FakeSmtp) -> None:
    """The mail goes to the rest, and the answer names who was refused; if all are, it fails."""
    mail.answer_next(SmtpAnswer("RCPT", 550, "unknown"))
    delivery = await sender_to(mail).send(notification(), {})
    mail.answer_next(SmtpAnswer("RCPT", 550, "unknown"), SmtpAnswer("RCPT", 550, "unknown"))
    with pytest.raises(NotifyError, match="every recipient was refused: 550") as caught:
        await sender_to(mail).send(notification(), {})

    assert "250 taken; refused: ops@example.org (550)" == delivery.answer
    assert [("b@example.org",)] == [one.recipients for one in mail.mails]
    assert not caught.value.retryable


async def test_a_mail_that_is_too_large_is_final() -> None:
    """552 does not become smaller."""
    with FakeSmtp(size_max=100) as small, pytest.raises(NotifyError, match="552") as caught:
        await sender_to(small, auth_username="").send(notification(), {})

    assert not caught.value.retryable


async def test_without_starttls_nothing_is_sent() -> None:
    """``require_tls`` is on by default: the refusal says how to go on; it may be a passing fault."""
    with FakeSmtp(starttls=False, user="u", password="hidden", auth_needs_tls=False) as plain:
        sender = sender_to(plain, tls_config={})
        with pytest.raises(NotifyError, match="offers no STARTTLS") as caught:
            await sender.send(notification(), {})
        assert not {"AUTH", "MAIL"} & set(plain.commands)
        assert caught.value.retryable
        allowed = sender_to(plain, tls_config={}, require_tls=False)
        await allowed.send(notification(), {})
        assert not plain.mails[0].encrypted


async def test_a_certificate_that_nobody_vouches_for_is_refused(mail: FakeSmtp) -> None:
    """Unless the settings say so, no password goes to a stranger."""
    with pytest.raises(NotifyError, match="certificate is not trusted"):
        await sender_to(mail, tls_config={}).send(notification(), {})
    await sender_to(mail, tls_config={"insecure_skip_verify": True}).send(notification(), {})

    assert 1 == mail.commands.count("AUTH")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_each_way_to_log_in_works(mechanism: str) -> None:
    """What the server offers is used."""
    with FakeSmtp(user="u", password="p", mechanisms=(mechanism,)) as mail:
        await sender_to(mail).send(notification(), {})

        assert "u" == mail.mails[0].user


async def test_a_server_without_a_way_to_log_in_is_named() -> None:
    """A name in the settings that cannot be used is an error, not a mail without it."""
    with FakeSmtp() as mail, pytest.raises(NotifyError, match="offers none") as caught:
        await sender_to(mail, auth_username="u", auth_password=Secret("p")).send(notification(), {})

    assert caught.value.retryable


async def test_the_connection_can_be_encrypted_from_the_first_byte() -> None:
    """As on port 465."""
    with FakeSmtp(implicit_tls=True, user="u", password="p") as mail:
        await sender_to(mail, force_implicit_tls=True).send(notification(), {})

        assert mail.mails[0].encrypted


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "RCPT", "MESSAGE"])
async def test_a_server_that_hangs_is_given_up(mail: FakeSmtp, command: str) -> None:
    """The wait is bounded wherever it stops, and a retry may help."""
    mail.answer_next(SmtpAnswer(command, hang=True))
    with pytest.raises(NotifyError) as caught:
        await asyncio.wait_for(sender_to(mail, timeout_ms=500).send(notification(), {}), 5)

    assert caught.value.retryable


async def test_a_refused_connection_is_retryable(mail: FakeSmtp) -> None:
    """Nobody listens now."""
    with mail.refusing(), pytest.raises(NotifyError, match="ConnectionRefusedError") as caught:
        await sender_to(mail).send(notification(), {})

    assert caught.value.retryable


async def test_the_password_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the login fails."""
    caplog.set_level(logging.DEBUG)
    with FakeSmtp(user="u", password="p") as mail:
        sender = sender_to(mail, auth_password=Secret("hidden"))
        with pytest.raises(NotifyError, match="535") as caught:
            await sender.send(notification(), {})

    assert "hidden" not in caplog.text + str(caught.value) + repr(sender)


def test_ended_members_are_told_as_such() -> None:
    """A group shows who has recovered."""
    over = alert(instance="b", ends_ms=START_MS + MINUTE_MS)
    text, _ = parts(notification(alert(instance="a"), over))

    assert "* resolved instance=b = 0.1" in text


def raw_lines(one: Mail) -> int:
    """Return the longest line of a mail, in bytes."""
    return max(len(line) for line in one.raw.split(b"\r\n"))


async def test_no_line_of_a_mail_is_too_long(mail: FakeSmtp) -> None:
    """RFC 5322 allows 998 bytes."""
    await sender_to(mail).send(hostile("ä" * 3000 + "x" * 3000, 3), {})

    assert raw_lines(mail.mails[0]) <= 998
