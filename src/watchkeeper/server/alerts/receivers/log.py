"""The receiver of last resort: the server's own log."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from watchkeeper.server.alerts.notification import Delivery, Notification
from watchkeeper.vocabulary.limits import limit

__all__ = ["LogSender"]

_log = structlog.get_logger("watchkeeper.server.alerts")


class LogSender:
    """Writes each alert to the log; used when nobody else is to be told."""

    async def aclose(self) -> None:
        """Do nothing."""

    async def send(self, notification: Notification, thread: Mapping[str, str]) -> Delivery:
        """Log the alerts of *notification*, a bounded number of them, and how many more there are."""
        del thread  # lines of a log belong together by their fields
        shown = notification.alerts[: limit("notification_alerts_shown_max")]
        for alert in shown:
            _log.warning(
                "alert firing" if alert.firing else "alert resolved",
                alert=alert.labels.get("alertname", ""),
                labels=dict(alert.labels),
                summary=alert.annotations.get("summary", ""),
                value=alert.value,
            )
        left_out = len(notification.alerts) - len(shown) + notification.truncated
        if left_out:
            _log.warning("more alerts", group=notification.group_key, left_out=left_out)
        return Delivery("logged")
