"""The receiver of last resort: the server's own log."""

from __future__ import annotations

import structlog

from watchkeeper.server.alerts.message import Message

__all__ = ["LogReceiver"]

_log = structlog.get_logger("watchkeeper.server.alerts")


class LogReceiver:
    """Writes each alert to the log; used when nobody else is to be told."""

    name = "log"

    async def aclose(self) -> None:
        """Do nothing."""

    async def send(self, message: Message) -> str:
        """Log *message* and return ``logged``."""
        for notice in message.notices:
            _log.warning(
                "alert firing" if message.firing else "alert resolved",
                alert=message.alertname,
                labels=dict(notice.labels),
                summary=notice.annotations.get("summary", ""),
                value=notice.value,
            )
        return "logged"
