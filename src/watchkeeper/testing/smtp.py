"""A mail server that speaks SMTP, on loopback: STARTTLS, AUTH, refusals, hangs."""

from __future__ import annotations

import base64
import binascii
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from watchkeeper.testing.certificate import server_context
from watchkeeper.testing.patience import patience

__all__ = ["FakeSmtp", "Mail", "SmtpAnswer"]

_HOST, _LOOPBACK = "localhost", "127.0.0.1"
_LINE_MAX = 2_000


@dataclass(frozen=True, slots=True)
class SmtpAnswer:
    """What the server answers once to a command."""

    command: str
    """``CONNECT`` (the greeting), ``EHLO``, ``STARTTLS``, ``AUTH``, ``MAIL``, ``RCPT``, ``DATA``,
    or ``MESSAGE`` (the end of the text)."""
    code: int = 421
    text: str = "try again later"
    hang: bool = False
    """Say nothing until the server is closed."""
    drop: bool = False
    """Close the connection without an answer."""
    lost: bool = False
    """``MESSAGE`` only: take the mail, then close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that was taken."""

    sender: str
    """Of the envelope."""
    recipients: tuple[str, ...]
    """Of the envelope."""
    raw: bytes
    encrypted: bool
    """Whether the connection was."""
    user: str
    """Who logged in, or empty."""

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return message_from_bytes(self.raw, policy=policy.default)


class FakeSmtp:
    """An SMTP server on 127.0.0.1 that keeps the mails it takes; a context manager.

    It behaves as RFC 5321, 3207 and 4954 say. Its certificate is made when it starts, for
    ``localhost``, by an authority of its own: see `ca_file`. That takes the package cryptography.

    Args:
        starttls: Whether STARTTLS is offered.
        implicit_tls: Whether the connection is encrypted from its first byte, as on port 465.
        user: Name that must log in; empty lets everybody in.
        password: Its password.
        mechanisms: Of AUTH: PLAIN, LOGIN.
        auth_needs_tls: Whether AUTH is offered on encrypted connections only.
        size_max: Bytes of a mail beyond which it is refused with 552; None for no limit.

    Attributes:
        mails: What was taken, oldest first.
        commands: Every command received, in capitals, without what follows it.

    Raises:
        SettingError: The package cryptography is missing, and TLS is wanted.
    """

    def __init__(
        self,
        *,
        starttls: bool = True,
        implicit_tls: bool = False,
        user: str = "",
        password: str = "",
        mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN"),
        auth_needs_tls: bool = True,
        size_max: int | None = None,
    ) -> None:
        self.mails: list[Mail] = []
        self.commands: list[str] = []
        self.starttls = starttls
        self.implicit_tls = implicit_tls
        self.user, self.password = user, password
        self.mechanisms = mechanisms
        self.auth_needs_tls = auth_needs_tls
        self.size_max = size_max
        self.closed = threading.Event()
        self._answers: list[SmtpAnswer] = []
        self._changed = threading.Condition()
        self._folder = tempfile.TemporaryDirectory(prefix="watchkeeper-smtp-")
        self.tls = server_context(Path(self._folder.name)) if starttls or implicit_tls else None
        self._port = 0
        self._listen()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._stop()
        self._folder.cleanup()

    @property
    def address(self) -> str:
        """Host and port, as ``smarthost`` wants them."""
        return f"{_HOST}:{self._port}"

    @property
    def ca_file(self) -> str:
        """Path of the certificate that clients must trust."""
        return str(Path(self._folder.name) / "ca.pem")

    def answer_next(self, *answers: SmtpAnswer) -> None:
        """Answer the next command of each kind with these, then as usual again."""
        with self._changed:
            self._answers.extend(answers)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections for the time of the ``with`` block; the address stays the same."""
        self._stop()
        try:
            yield
        finally:
            self._listen()
            self._thread.start()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> bool:
        """Return whether *count* mails have been taken within the time, in seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.mails) >= count, timeout_s * patience())

    def scripted(self, command: str) -> SmtpAnswer | None:
        """Take the next scripted answer to *command*, if there is one."""
        with self._changed:
            self.commands.append(command)
            found = next((one for one in self._answers if one.command == command), None)
            if found is not None:
                self._answers.remove(found)
            return found

    def take(self, mail: Mail) -> None:
        """Keep *mail*."""
        with self._changed:
            self.mails.append(mail)
            self._changed.notify_all()

    def _listen(self) -> None:
        fake = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, _GoneError):
                    _Session(fake, self.request).run()

        self._server = socketserver.ThreadingTCPServer(
            (_LOOPBACK, self._port), Handler, bind_and_activate=False
        )
        self._server.allow_reuse_address = True
        self._server.daemon_threads = True
        self._server.server_bind()
        self._server.server_activate()
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _GoneError(Exception):
    """The connection is over."""


class _Session:
    """One connection."""

    def __init__(self, fake: FakeSmtp, connection: ssl.SSLSocket) -> None:
        self._fake = fake
        self._connection = connection
        self._buffer = b""
        self._encrypted = False
        self._user = ""
        self._sender = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        if self._fake.implicit_tls:
            self._encrypt()
        try:
            if self._usual("CONNECT"):
                self._say(220, "fake.example ESMTP")
            while True:
                self._command()
        finally:
            self._connection.close()

    def _command(self) -> None:
        line = self._line().decode("utf-8", "replace")
        word, _, rest = line.partition(" ")
        word = word.upper()
        commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo, "HELO": self._ehlo, "STARTTLS": self._starttls,
            "AUTH": self._auth, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data,
            "RSET": self._rset, "NOOP": lambda _: self._say(250, "ok"), "QUIT": self._quit,
        }  # fmt: skip
        command = commands.get(word)
        if command is None:
            self._say(500, "unknown command")
        elif self._usual("EHLO" if word == "HELO" else word):
            command(rest)

    def _usual(self, command: str) -> bool:
        """Return whether *command* is answered as usual; give a scripted answer otherwise."""
        answer = self._fake.scripted(command)
        if answer is None:
            return True
        if answer.hang:
            self._fake.closed.wait()
        if answer.hang or answer.drop:
            raise _GoneError
        self._say(answer.code, answer.text)
        if answer.code == 421:
            raise _GoneError
        return False

    def _ehlo(self, _: str) -> None:
        lines = ["fake.example"]
        if self._fake.size_max is not None:
            lines.append(f"SIZE {self._fake.size_max}")
        if self._fake.starttls and not self._encrypted:
            lines.append("STARTTLS")
        if self._fake.user and (self._encrypted or not self._fake.auth_needs_tls):
            lines.append(f"AUTH {' '.join(self._fake.mechanisms)}")
        self._say(250, *lines)

    def _starttls(self, _: str) -> None:
        if not self._fake.starttls or self._encrypted:
            self._say(502, "not offered")
            return
        self._say(220, "go ahead")
        self._encrypt()

    def _encrypt(self) -> None:
        assert self._fake.tls is not None  # noqa: S101 - made at the start where TLS is wanted
        self._connection = self._fake.tls.wrap_socket(self._connection, server_side=True)
        self._encrypted, self._buffer = True, b""

    def _auth(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        offered = self._encrypted or not self._fake.auth_needs_tls
        if not offered or mechanism.upper() not in self._fake.mechanisms:
            self._say(504, "mechanism not offered")
            return
        try:
            if mechanism.upper() == "PLAIN":
                _, user, password = self._asked("", initial).split("\0")
            else:
                user = self._asked("Username:", initial)
                password = self._asked("Password:", "")
        except (ValueError, binascii.Error):
            self._say(501, "cannot decode")
            return
        if (user, password) == (self._fake.user, self._fake.password):
            self._user = user
            self._say(235, "welcome")
        else:
            self._say(535, "authentication failed")

    def _asked(self, question: str, given: str) -> str:
        if not given:
            self._say(334, base64.b64encode(question.encode()).decode())
            given = self._line().decode()
        return base64.b64decode(given, validate=True).decode()

    def _mail(self, rest: str) -> None:
        if self._fake.user and not self._user:
            self._say(530, "authentication required")
            return
        self._sender, self._recipients = _path(rest), []
        self._say(250, "ok")

    def _rcpt(self, rest: str) -> None:
        self._recipients.append(_path(rest))
        self._say(250, "ok")

    def _data(self, _: str) -> None:
        if not self._recipients:
            self._say(503, "no recipients")
            return
        self._say(354, "end with a dot")
        lines = []
        while (line := self._line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        raw = b"".join(line + b"\r\n" for line in lines)
        answer = self._fake.scripted("MESSAGE")
        if answer is None and self._fake.size_max is not None and len(raw) > self._fake.size_max:
            answer = SmtpAnswer("MESSAGE", 552, "message too large")
        if answer is not None and answer.hang:
            self._fake.closed.wait()
        if answer is not None and (answer.hang or answer.drop):
            raise _GoneError
        if answer is None or answer.lost:
            self._fake.take(
                Mail(self._sender, tuple(self._recipients), raw, self._encrypted, self._user)
            )
        if answer is not None and answer.lost:
            raise _GoneError
        self._say(*((250, "taken") if answer is None else (answer.code, answer.text)))

    def _rset(self, _: str) -> None:
        self._sender, self._recipients = "", []
        self._say(250, "ok")

    def _quit(self, _: str) -> None:
        self._say(221, "bye")
        raise _GoneError

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            chunk = self._connection.recv(65_536)
            if not chunk or (len(self._buffer) > _LINE_MAX and b"\n" not in self._buffer):
                raise _GoneError
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _say(self, code: int, *lines: str) -> None:
        last = len(lines) - 1
        text = "".join(
            f"{code}{' ' if number == last else '-'}{line}\r\n" for number, line in enumerate(lines)
        )
        self._connection.sendall(text.encode())


def _path(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
