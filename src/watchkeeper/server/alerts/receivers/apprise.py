"""The long tail of channels, through the library apprise.

An address says which service is meant and holds its credentials: it is a secret. Nothing that the
library logs is let through, since that may name addresses.
Source: the documentation of apprise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.chat_text import disarmed
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.server.alerts.receivers.settings import Settings, revealed, timeout_s
from watchkeeper.server.alerts.receivers.story import cut, rank, tell
from watchkeeper.server.alerts.receivers.story_text import plain
from watchkeeper.server.alerts.templates.store import Templates

__all__ = ["AppriseSender", "payload"]

_TITLE_MAX, _BODY_MAX = 250, 20_000


class _Nothing(logging.Filter):
    def filter(self, _: logging.LogRecord) -> bool:
        return False


_NOTHING = _Nothing()


def payload(notification: Notification, fields: Fields) -> dict[str, str]:
    """Return title, text and kind (``failure``, ``warning``, ``info`` or ``success``).

    Raises:
        NotifyError: A template fails.
    """
    story = tell(notification)
    title = fields.own_text("title", notification, "chat") or disarmed(story.title)
    body = fields.own_text("text", notification, "chat")
    if not body:
        # The title is told already.
        body = disarmed(plain(story).partition("\n")[2].strip("\n"))
    kinds = {"critical": "failure", "error": "failure", "warning": "warning", "info": "info"}
    kind = kinds[rank(story.severity)] if story.firing else "success"
    return {
        "title": cut(" ".join(title.split()), _TITLE_MAX),
        "body": cut(body, _BODY_MAX),
        "notify_type": kind,
    }


class AppriseSender:
    """One element of ``apprise_configs``."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self._fields = Fields(settings, templates)
        self._timeout_s = timeout_s(settings)
        self._delivered: tuple[str, set[int]] = ("", set())
        """Key of the last message, and the places of the addresses that have taken it."""

    async def aclose(self) -> None:
        """Do nothing: the library keeps no connections."""

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Send to every address; a repeated attempt leaves out those that have taken it.

        Raises:
            NotifyError: One or more did not take it. Retryable, since the library tells no
                reason; not if an address names no service, or the library is not installed.
        """
        del thread  # channels without threads
        said = payload(notification, self._fields)
        # The library reads a hundred modules at first use, which takes a second.
        services = await asyncio.to_thread(self._services)
        if not notification.key or self._delivered[0] != notification.key:
            self._delivered = (notification.key, set())
        done = self._delivered[1]
        failed: list[str] = []
        for place, service in enumerate(services):
            if place in done:
                continue
            name = str(service.service_name)
            try:
                async with asyncio.timeout(self._timeout_s):
                    taken = await service.async_notify(body_format="text", **said)
            except TimeoutError:
                failed.append(f"{name}: no answer within {self._timeout_s:g} s")
                continue
            except Exception as error:  # noqa: BLE001 - plugins raise what they like
                failed.append(f"{name}: {type(error).__name__}")
                continue
            if taken:
                done.add(place)
            else:
                failed.append(f"{name}: not taken")
        if failed:
            raise NotifyError("; ".join(failed)[:300], retryable=True)
        return Delivery(f"taken by {', '.join(str(one.service_name) for one in services)}"[:200])

    def _services(self) -> list[Any]:
        try:
            import apprise  # noqa: PLC0415 - large, and few use it
        except ImportError:
            raise NotifyError(
                "apprise is not installed. Next: install watchkeeper[server]", retryable=False
            ) from None
        logging.getLogger("apprise").addFilter(_NOTHING)
        found = []
        for number, url in enumerate(self._urls()):
            service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
            if service is None:
                raise NotifyError(
                    f"address {number + 1} names no service that apprise knows: got a text that is "
                    "not shown. Accepted: the addresses of apprise's documentation, as "
                    "ntfy://host/topic. Next: correct urls",
                    retryable=False,
                )
            found.append(service)
        if not found:
            raise NotifyError("urls has no address", retryable=False)
        return found

    def _urls(self) -> list[str]:
        given = self._fields.settings.get("urls") or ()
        texts = [
            revealed(url, "urls") if isinstance(url, Secret) else str(url)
            for url in ([given] if isinstance(given, (str, Secret)) else given)
        ]
        return [line.strip() for text in texts for line in text.splitlines() if line.strip()]
