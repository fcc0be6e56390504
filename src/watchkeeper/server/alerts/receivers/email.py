"""Mail over SMTP: encrypted, logged in, one thread for each group.

Sources: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH); Alertmanager's documentation,
``<email_config>``. Codes from 400 to 499 are worth another attempt, those from 500 are final.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Mapping
from typing import NoReturn

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.alerts.receivers.email_message import Letter, payload
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.http import tls_context
from watchkeeper.server.alerts.receivers.settings import (
    Settings,
    revealed,
    secret,
    section,
    text,
    timeout_s,
)
from watchkeeper.server.alerts.templates.store import Templates

__all__ = ["EmailSender"]

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TLS_PORT = 465
_SHOWN_CHARS_MAX = 200


class EmailSender:
    """One element of ``email_configs``."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._timeout_s = timeout_s(settings)

    async def aclose(self) -> None:
        """Do nothing: each mail has a connection of its own."""

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Send one mail.

        A recipient whom the server refuses for good keeps the others from nothing: they are sent
        the mail, and the answer tells who was refused. One refused for now makes the attempt fail
        before anybody is sent anything.

        Raises:
            NotifyError: It was not taken. Retryable after network errors, timeouts, codes below
                500, and where STARTTLS or AUTH is wanted and not offered; not after others.
        """
        letter = payload(notification, self._fields, thread)
        attempt = _Attempt(self._fields.settings, self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await asyncio.to_thread(attempt.deliver, letter)
        except TimeoutError:
            attempt.abort()
            raise NotifyError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        root = thread.get("root") or letter.message_id
        return Delivery(answer, {"root": root, "last": letter.message_id})


class _Attempt:
    """One connection, in a thread of its own."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._client: smtplib.SMTP | None = None
        self._given_up = False

    def abort(self) -> None:
        """Break the connection off; the thread ends by that."""
        self._given_up = True
        client = self._client
        if client is not None and client.sock is not None:
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def deliver(self, letter: Letter) -> str:
        """Send *letter*; return what the server said."""
        try:
            client = self._open()
        except (OSError, smtplib.SMTPException) as error:
            _fail("the connection failed", error)
        try:
            self._encrypt(client)
            self._login(client)
            return _handed_over(client, letter)
        except NotifyError:
            _quit(client)
            raise
        except (OSError, smtplib.SMTPException) as error:
            _fail("the mail was not taken", error)
        finally:
            client.close()

    def _open(self) -> smtplib.SMTP:
        host, port = _smarthost(self._settings)
        hello = text(self._settings, "hello") or None
        if self._implicit(port):
            tls = self._tls()
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, hello, timeout=self._timeout_s, context=tls
            )
        else:
            client = smtplib.SMTP(host, port, hello, timeout=self._timeout_s)
        self._client = client
        if self._given_up:
            client.close()
            raise TimeoutError
        client.ehlo_or_helo_if_needed()
        return client

    def _encrypt(self, client: smtplib.SMTP) -> None:
        if self._settings.get("require_tls") is False or isinstance(client, smtplib.SMTP_SSL):
            return
        if not client.has_extn("starttls"):
            raise NotifyError(
                "the mail server offers no STARTTLS, and require_tls is on: nothing was sent. "
                "Next: let it offer STARTTLS, or set require_tls: false for a server that is "
                "reached over a trusted network",
                retryable=True,
            )
        client.starttls(context=self._tls())
        client.ehlo_or_helo_if_needed()

    def _login(self, client: smtplib.SMTP) -> None:
        user = text(self._settings, "auth_username")
        if not user:
            return
        if not _encrypted(client) and _smarthost(self._settings)[0] not in _LOOPBACK:
            raise NotifyError(
                "the connection is not encrypted: no password is sent over it. Next: set "
                "require_tls: true",
                retryable=False,
            )
        offered = set(client.esmtp_features.get("auth", "").upper().split())
        password = secret(self._settings, "auth_password")
        shared = secret(self._settings, "auth_secret")
        if "CRAM-MD5" in offered and shared:
            client.user, client.password = user, revealed(shared, "auth_secret")
            client.auth("CRAM-MD5", client.auth_cram_md5)
        elif "PLAIN" in offered and password:
            self._plain(client, user, password)
        elif "LOGIN" in offered and password:
            client.user, client.password = user, revealed(password, "auth_password")
            client.auth("LOGIN", client.auth_login)
        else:
            raise NotifyError(
                "the mail server offers no way to log in that the settings have a secret for: it "
                f"offers {' '.join(sorted(offered)) or 'none'}. Accepted: CRAM-MD5 with "
                "auth_secret, PLAIN or LOGIN with auth_password",
                retryable=True,
            )

    def _plain(self, client: smtplib.SMTP, user: str, password: Secret) -> None:
        identity = text(self._settings, "auth_identity")
        words = f"{identity}\0{user}\0{revealed(password, 'auth_password')}"
        client.auth("PLAIN", lambda _=None: words)

    def _tls(self) -> ssl.SSLContext:
        return tls_context(section(self._settings, "tls_config"))

    def _implicit(self, port: int) -> bool:
        forced = self._settings.get("force_implicit_tls")
        return forced if isinstance(forced, bool) else port == _TLS_PORT


def _handed_over(client: smtplib.SMTP, letter: Letter) -> str:
    code, said = client.mail(letter.sender)
    if code != 250:
        raise _refusal("the sender was refused", code, said)
    refused: list[str] = []
    last = (550, b"")
    for recipient in letter.recipients:
        code, said = client.rcpt(recipient)
        if code in {250, 251}:
            continue
        if code < 500:
            raise _refusal("a recipient was refused", code, said)
        refused.append(f"{recipient} ({code})")
        last = (code, said)
    if len(refused) == len(letter.recipients):
        raise _refusal("every recipient was refused", *last)
    code, said = client.data(letter.message.as_bytes())
    if code != 250:
        raise _refusal("the mail was refused", code, said)
    _quit(client)
    answer = f"{code} {_shown(said)}"
    return f"{answer}; refused: {', '.join(refused)}"[:500] if refused else answer


def _refusal(what: str, code: int, said: bytes) -> NotifyError:
    return NotifyError(f"{what}: {code} {_shown(said)}".rstrip(), retryable=code < 500)


def _shown(said: bytes) -> str:
    return " ".join(said.decode("utf-8", "replace").split())[:_SHOWN_CHARS_MAX]


def _fail(what: str, error: Exception) -> NoReturn:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        raw = said if isinstance(said, bytes) else str(said).encode()
        raise _refusal(what, error.smtp_code, raw) from None
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted: {error.verify_message}"
        raise NotifyError(f"{what}: {reason}", retryable=True) from None
    raise NotifyError(f"{what}: {type(error).__name__}", retryable=True) from None


def _quit(client: smtplib.SMTP) -> None:
    with contextlib.suppress(OSError, smtplib.SMTPException):
        client.quit()


def _encrypted(client: smtplib.SMTP) -> bool:
    return isinstance(client.sock, ssl.SSLSocket)


def _smarthost(settings: Settings) -> tuple[str, int]:
    given = settings.get("smarthost")
    if isinstance(given, Mapping):
        host, port = str(given.get("host", "")), str(given.get("port", ""))
    else:
        host, _, port = str(given or "").rpartition(":")
    if not host or not port.isdigit():
        raise NotifyError(
            "smarthost is no host and port. Accepted: mail.example.org:587. Next: correct the "
            "receiver's settings",
            retryable=False,
        )
    return host.strip("[]"), int(port)
