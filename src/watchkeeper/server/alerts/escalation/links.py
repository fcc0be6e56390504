"""Signed links with an end, for messages: whoever holds one may do one thing to one incident.

A token is ``key.payload.mac``: the id of the key, what it allows, and the HMAC-SHA256 (RFC 2104) of
both, the last two in the base64 of addresses (RFC 4648 section 5).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import orjson
import structlog

from watchkeeper.errors import IncidentError
from watchkeeper.vocabulary.limits import limit

__all__ = ["LINK_VERBS", "Grant", "LinkKeys", "token_digest"]

LinkVerb = Literal["acknowledge", "unacknowledge", "take", "resolve"]
LINK_VERBS: tuple[LinkVerb, ...] = ("acknowledge", "unacknowledge", "take", "resolve")

_FILE = "link-keys.json"
_ROTATE_MS = 30 * 86_400_000
_TOKEN_CHARS_MAX = 2_000
_log = structlog.get_logger("watchkeeper.server.alerts")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a link allows."""

    verb: LinkVerb
    incident: str
    who: str
    """The user or receiver that the link was sent to."""
    expires_ms: int


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    secret: bytes
    made_ms: int


class LinkKeys:
    """The keys that sign links, kept in the data directory with mode 0600. Thread-safe.

    The file is made when the first link is. A new key is made every 30 days; older ones go on
    being accepted for as long as links that they signed can live.

    Args:
        directory: The data directory.
        entropy: Returns this many random bytes.
    """

    def __init__(
        self, directory: Path, *, entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._path = directory / _FILE
        self._entropy = entropy
        self._lock = threading.Lock()
        self._keys: tuple[_Key, ...] | None = None

    def sign(self, verb: LinkVerb, incident: str, who: str, now_ms: int) -> str:
        """Return a token that lives for ``link_age_s_max`` seconds.

        Raises:
            OSError: The keys cannot be read or written.
        """
        expires_ms = now_ms + limit("link_age_s_max") * 1000
        payload = _encoded(orjson.dumps([verb, incident, who, expires_ms]))
        key = self._newest(now_ms)
        signed = f"{key.id}.{payload}"
        return f"{signed}.{_encoded(_mac(key.secret, signed))}"

    def read(self, token: str, now_ms: int) -> Grant:
        """Return what *token* allows.

        Raises:
            IncidentError: It was not signed by us (reason ``invalid``), or its time is over
                (reason ``conflict``).
            OSError: The keys cannot be read.
        """
        signed, _, mac = token.rpartition(".")
        key_id, _, payload = signed.partition(".")
        with self._lock:
            keys = self._load()
        key = next((key for key in keys if key.id == key_id), _Key("", b"\0" * 32, 0))
        good = hmac.compare_digest(_mac(key.secret, signed), _decoded(mac))
        if not good or not key.id or len(token) > _TOKEN_CHARS_MAX:
            raise IncidentError(
                "this link is not ours: its signature does not fit. Accepted: a link as it was "
                "sent, unchanged. Next: copy the whole link, or open the incident.",
                "invalid",
            )
        verb, incident, who, expires_ms = orjson.loads(_decoded(payload))
        if now_ms >= expires_ms:
            hours = limit("link_age_s_max") // 3600
            raise IncidentError(
                f"this link's time is over: it was valid for {hours} hours. Accepted: a newer "
                "link. Next: open the incident."
            )
        return Grant(cast("LinkVerb", verb), incident, who, expires_ms)

    def rotate(self, now_ms: int) -> None:
        """Sign with a new key from now on; links of the keys before stay valid until their end.

        Raises:
            OSError: The keys cannot be written.
        """
        with self._lock:
            self._rotate(now_ms)

    def _newest(self, now_ms: int) -> _Key:
        with self._lock:
            keys = self._load()
            if not keys or now_ms - keys[-1].made_ms >= _ROTATE_MS:
                keys = self._rotate(now_ms)
            return keys[-1]

    def _rotate(self, now_ms: int) -> tuple[_Key, ...]:
        lives_ms = limit("link_age_s_max") * 1000
        old = self._load()
        # A key signs until its successor is made.
        kept = [
            key
            for key, after in zip(old, (*old, None)[1:], strict=True)
            if after is None or after.made_ms + lives_ms > now_ms
        ]
        keys = (*kept, _Key(self._entropy(4).hex(), self._entropy(32), now_ms))
        rows = [{"id": k.id, "secret": k.secret.hex(), "made_ms": k.made_ms} for k in keys]
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(file, orjson.dumps({"format": 1, "keys": rows}))
            os.fsync(file)
        finally:
            os.close(file)
        fresh.rename(self._path)
        self._keys = keys
        return keys

    def _load(self) -> tuple[_Key, ...]:
        if self._keys is None:
            self._keys = self._stored()
        return self._keys

    def _stored(self) -> tuple[_Key, ...]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        try:
            rows = orjson.loads(raw)["keys"]
            found = tuple(
                _Key(r["id"], bytes.fromhex(r["secret"]), int(r["made_ms"])) for r in rows
            )
        except (ValueError, TypeError, KeyError):
            aside = self._path.with_suffix(".corrupt")
            self._path.rename(aside)
            _log.error("link keys are damaged: links sent before are not valid", file=str(aside))
            return ()
        self._path.chmod(0o600)
        return found


def token_digest(token: str) -> str:
    """Return what identifies a link without being one.

    Only what is signed counts: the last digit of a signature can be written in several ways.
    """
    signed = token.rpartition(".")[0]
    return hashlib.sha256(signed.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _mac(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
