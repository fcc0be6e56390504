"""The fakes behave as the pages of the services that they stand for say."""

from __future__ import annotations

import smtplib
import ssl
import threading
from typing import Any

import httpx
import pytest

from watchkeeper.testing import (
    Answer,
    FakePagerDuty,
    FakeSlack,
    FakeSmtp,
    FakeWebhook,
    SmtpAnswer,
)

MAIL = b"Subject: hello\r\n\r\n.dotted\r\nbye\r\n"


def event(action: str, key: str = "k", **payload: Any) -> dict[str, Any]:
    """Return an event for PagerDuty."""
    shown = {"summary": "s", "source": "here", "severity": "error", **payload}
    return {
        "routing_key": FakePagerDuty.routing_key, "event_action": action, "dedup_key": key,
        "payload": shown,
    }  # fmt: skip


def test_scripted_answers_come_once_and_in_order() -> None:
    """After them the usual answer is given again; refused requests are kept too."""
    with FakeWebhook() as hook:
        hook.answer_next(Answer(429, b"", retry_after_s=3), Answer(503, b"busy"))
        answers = [httpx.post(hook.url, json={"n": number}) for number in range(3)]

    assert [429, 503, 200] == [answer.status_code for answer in answers]
    assert "3" == answers[0].headers["retry-after"]
    assert 3 == len(hook.requests)
    assert [{"n": 2}] == hook.notifications


def test_a_fake_can_break_a_connection_before_or_after_taking() -> None:
    """``drop`` forgets the request, ``lost`` takes it; the caller cannot tell them apart."""
    with FakeWebhook() as hook:
        hook.answer_next(Answer(drop=True), Answer(lost=True))
        for number in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.post(hook.url, json={"n": number})

    assert [{"n": 1}] == hook.notifications


def test_a_fake_can_hang_until_it_is_closed() -> None:
    """The caller's own patience ends the wait."""
    with FakeWebhook() as hook:
        hook.answer_next(Answer(hang=True))
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(hook.url, json={}, timeout=0.1)


def test_a_fake_can_refuse_connections_for_a_while() -> None:
    """Its address stays the same."""
    with FakeWebhook() as hook:
        with hook.refusing(), pytest.raises(httpx.ConnectError):
            httpx.post(hook.url, json={})
        assert 200 == httpx.post(hook.url, json={}).status_code


def test_a_body_beyond_the_limit_is_refused() -> None:
    """413, and nothing is taken."""
    with FakeWebhook(body_bytes_max=10) as hook:
        assert 413 == httpx.post(hook.url, json={"text": "x" * 100}).status_code
        assert [] == hook.notifications


def test_pagerduty_keeps_one_incident_for_a_key() -> None:
    """A trigger opens, adds, or opens anew; an unknown key is dropped; all are answered 202."""
    with FakePagerDuty() as pager:
        codes = [
            httpx.post(pager.url, json=event(action, key)).status_code
            for action, key in (
                ("resolve", "unknown"), ("trigger", "a"), ("trigger", "a"), ("acknowledge", "a"),
                ("trigger", "b"), ("resolve", "a"), ("trigger", "a"),
            )
        ]  # fmt: skip

        assert [202] * 7 == codes
        assert [("a", "resolved", 4), ("b", "triggered", 1), ("a", "triggered", 1)] == [
            (one.dedup_key, one.status, len(one.events)) for one in pager.incidents
        ]
        found = pager.open("a")
        assert found is not None
        assert found is pager.incidents[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {**event("trigger"), "routing_key": "short"},
        {**event("trigger"), "event_action": "open"},
        {**event("trigger"), "dedup_key": "k" * 256},
        {**event("trigger"), "payload": None},
        {**event("resolve"), "dedup_key": ""},
        event("trigger", severity="page"),
        event("trigger", summary="s" * 1025),
        event("trigger", source=""),
        ["no object"],
    ],
)
def test_pagerduty_refuses_malformed_events(wrong: object) -> None:
    """400 with reasons, and nothing is taken."""
    with FakePagerDuty() as pager:
        answer = httpx.post(pager.url, json=wrong)

        assert (400, "invalid event") == (answer.status_code, answer.json()["status"])
        assert answer.json()["errors"]
        assert [] == pager.events


def test_pagerduty_refuses_events_beyond_512_kb() -> None:
    """The limit is that of the whole body."""
    with FakePagerDuty() as pager:
        large = event("trigger", custom_details={"text": "x" * 600_000})

        assert 413 == httpx.post(pager.url, json=large).status_code


def test_slacks_bot_posts_replies_and_changes_messages() -> None:
    """A message is found by channel and timestamp; what is not there is an error by name."""
    with FakeSlack() as slack:

        def call(method: str, **body: Any) -> dict[str, Any]:
            url = slack.api_url.replace("chat.postMessage", method)
            headers = {"Authorization": f"Bearer {slack.token}"}
            answer: dict[str, Any] = httpx.post(url, json=body, headers=headers).json()
            return answer

        first = call("chat.postMessage", channel="alerts", text="one")
        where = {"channel": first["channel"], "ts": first["ts"]}
        call("chat.postMessage", channel="C0ALERTS", text="re", thread_ts=first["ts"])

        assert call("chat.update", **where, text="two")["ok"]
        assert ["two", "re"] == [post.body["text"] for post in slack.posts]
        assert "message_not_found" == call("chat.update", channel="C0ALERTS", ts="9", text="x")["error"]  # fmt: skip
        assert "channel_not_found" == call("chat.postMessage", channel="#no", text="x")["error"]
        assert "thread_not_found" == call("chat.postMessage", channel="#alerts", text="x", thread_ts="9")["error"]  # fmt: skip
        assert "no_text" == call("chat.postMessage", channel="#alerts")["error"]
        assert "unknown_method" == call("chat.other", text="x")["error"]
        too_many = [{"type": "divider"}] * 51
        assert "invalid_blocks" == call("chat.postMessage", channel="#alerts", blocks=too_many)["error"]  # fmt: skip
        assert "not_authed" == httpx.post(slack.api_url, json={}).json()["error"]


def connected(mail: FakeSmtp) -> smtplib.SMTP:
    """Return a connection."""
    host, _, port = mail.address.partition(":")
    return smtplib.SMTP(host, int(port), timeout=5)


def test_the_mail_server_takes_mails_over_starttls_after_a_login() -> None:
    """The envelope, the text, the user and the encryption are noted."""
    with FakeSmtp(user="u", password="p") as mail:
        context = ssl.create_default_context(cafile=mail.ca_file)
        with connected(mail) as client:
            client.starttls(context=context)
            client.login("u", "p")
            client.sendmail("a@example.org", ["b@example.org", "c@example.org"], MAIL)

        assert mail.wait_for(1)
        [one] = mail.mails
        assert ("a@example.org", ("b@example.org", "c@example.org")) == (one.sender, one.recipients)
        assert (MAIL, True, "u") == (one.raw, one.encrypted, one.user)
        assert "hello" == one.message["Subject"]


def test_the_mail_server_refuses_who_is_not_let_in() -> None:
    """A wrong password is 535; no login is 530; AUTH is not offered without encryption."""
    with FakeSmtp(user="u", password="p") as mail:
        context = ssl.create_default_context(cafile=mail.ca_file)
        with connected(mail) as client, pytest.raises(smtplib.SMTPNotSupportedError):
            client.login("u", "p")
        with connected(mail) as client:
            client.starttls(context=context)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("u", "wrong")
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                client.sendmail("a@example.org", ["b@example.org"], MAIL)


def test_the_mail_server_without_starttls_says_so() -> None:
    """STARTTLS is not among what it offers, and is refused."""
    with FakeSmtp(starttls=False) as mail, connected(mail) as client:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.starttls()
        client.sendmail("a@example.org", ["b@example.org"], MAIL)

        assert not mail.mails[0].encrypted


def test_the_mail_server_can_refuse_lose_and_limit() -> None:
    """Scripted answers to a command come once; a mail beyond the limit is 552."""
    with FakeSmtp(starttls=False, size_max=100) as mail:
        mail.answer_next(SmtpAnswer("RCPT", 450, "busy"), SmtpAnswer("MESSAGE", lost=True))
        with connected(mail) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@example.org", ["b@example.org"], MAIL)
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.sendmail("a@example.org", ["b@example.org"], MAIL)
        with connected(mail) as client, pytest.raises(smtplib.SMTPDataError, match="552"):
            client.sendmail("a@example.org", ["b@example.org"], MAIL * 10)

        assert 1 == len(mail.mails)


def test_the_mail_server_can_hang_and_refuse() -> None:
    """The client's own patience ends a hang; a closed port refuses."""
    with FakeSmtp(starttls=False) as mail:
        mail.answer_next(SmtpAnswer("CONNECT", hang=True))
        host, _, port = mail.address.partition(":")
        with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
            smtplib.SMTP(host, int(port), timeout=0.1)
        with mail.refusing(), pytest.raises(ConnectionRefusedError):
            connected(mail)
        connected(mail).quit()


def test_the_mail_server_can_encrypt_from_the_first_byte() -> None:
    """As on port 465."""
    with FakeSmtp(implicit_tls=True) as mail:
        context = ssl.create_default_context(cafile=mail.ca_file)
        host, _, port = mail.address.partition(":")
        with smtplib.SMTP_SSL(host, int(port), context=context, timeout=5) as client:
            client.sendmail("a@example.org", ["b@example.org"], MAIL)

        assert mail.mails[0].encrypted


def test_fakes_take_requests_from_many_threads() -> None:
    """Nothing is lost or counted twice."""
    with FakeWebhook() as hook:
        threads = [
            threading.Thread(target=lambda n=number: httpx.post(hook.url, json={"n": n}))
            for number in range(20)
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert list(range(20)) == sorted(body["n"] for body in hook.notifications)
