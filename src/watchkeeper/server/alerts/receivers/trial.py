"""Sends a test notification to a receiver, through the same senders as a real one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from watchkeeper.clock import Clock
from watchkeeper.errors import NotifyError, SettingError
from watchkeeper.server.alerts.config.model import Config, Integration
from watchkeeper.server.alerts.notification import GroupAlert, Notification, Sender
from watchkeeper.server.alerts.receivers.build import build_senders

__all__ = ["Outcome", "try_receiver"]

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one message."""

    kind: str
    index: int
    status: str
    """``firing`` or ``resolved``."""
    delivered: bool
    said: str
    """What came back, or what went wrong; no secrets."""
    retryable: bool
    """Whether a retry can help; False if it was delivered."""
    took_ms: int


async def try_receiver(
    config: Config, name: str, clock: Clock, *, external_url: str = "", keep_open: bool = False
) -> AsyncIterator[Outcome]:
    """Yield what came of the test of each integration of the receiver called *name*.

    Each is told of an alert that fires, and then of its end if it wants to know of ends, so that
    nothing stays open.

    Args:
        config: As it is loaded.
        name: The receiver.
        clock: Gives the alert's time, and measures.
        external_url: Address under which people reach us, for links.
        keep_open: Do not tell of the end.

    Raises:
        SettingError: There is no such receiver, it tells nobody, or its settings are wrong.
    """
    receiver = config.receivers.get(name)
    if receiver is None or not receiver.integrations:
        what = "there is no such receiver" if receiver is None else "the receiver tells nobody"
        telling = sorted(one.name for one in config.receivers.values() if one.integrations)
        raise SettingError(
            f"{what}: got {name[:100]!r}. Accepted: {', '.join(telling) or 'none in this file'}. "
            "Next: name a receiver that has integrations."
        )
    senders = build_senders(config)
    try:
        for integration in receiver.integrations:
            sender = senders[name, integration.kind, integration.index]
            thread: Mapping[str, str] = {}
            for status in ("firing", "resolved"):
                if status == "resolved" and (keep_open or not integration.send_resolved):
                    break
                now_ms = clock.now_ns() // 1_000_000
                told = _notification(name, now_ms, external_url, over=status == "resolved")
                outcome, thread = await _told(sender, told, thread, integration, clock)
                yield outcome
                if not outcome.delivered:
                    break
    finally:
        for sender in senders.values():
            await sender.aclose()


async def _told(
    sender: Sender,
    told: Notification,
    thread: Mapping[str, str],
    integration: Integration,
    clock: Clock,
) -> tuple[Outcome, Mapping[str, str]]:
    began = clock.monotonic_ns()
    delivered, retryable = True, False
    try:
        delivery = await sender.send(told, thread)
        said, thread = delivery.answer, delivery.thread
    except NotifyError as error:
        delivered, retryable, said = False, error.retryable, str(error)
    took_ms = (clock.monotonic_ns() - began) // 1_000_000
    outcome = Outcome(
        integration.kind, integration.index, told.status, delivered, said, retryable, took_ms
    )
    return outcome, thread


def _notification(receiver: str, now_ms: int, external_url: str, *, over: bool) -> Notification:
    labels = {"alertname": "NotificationTest", "severity": "info", "receiver": receiver}
    alert = GroupAlert(
        labels=labels,
        annotations={
            "summary": f"this is a test of the receiver {receiver}",
            "description": "Somebody ran `watchkeeper notify test`. There is nothing to do.",
        },
        starts_ms=now_ms - _MINUTE_MS,
        ends_ms=now_ms if over else None,
        fingerprint=hashlib.sha256(receiver.encode()).hexdigest()[:16],
        value=1.0,
    )
    return Notification(
        receiver=receiver,
        group_key=f'{{}}:{{alertname="NotificationTest", receiver="{receiver}"}}',
        group_labels={"alertname": "NotificationTest"},
        alerts=(alert,),
        now_ms=now_ms,
        external_url=external_url,
        note="A test: nothing is wrong.",
    )
