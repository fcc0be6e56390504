"""The receiver of last resort."""

from __future__ import annotations

from structlog.testing import capture_logs
from tests.server.alerts.receivers.samples import alert, notification, resolved

from watchkeeper.server.alerts.receivers.log import LogSender


async def test_each_alert_is_a_line() -> None:
    """Name, labels, summary and value are fields; the word says whether it fires."""
    with capture_logs() as lines:
        await LogSender().send(notification(), {})
        delivery = await LogSender().send(resolved(), {})

    assert "logged" == delivery.answer
    assert ["alert firing", "alert resolved"] == [line["event"] for line in lines]
    assert ("ApiErrorRate", 0.1) == (lines[0]["alert"], lines[0]["value"])


async def test_many_alerts_are_ten_lines_and_a_count() -> None:
    """The log is not flooded."""
    with capture_logs() as lines:
        await LogSender().send(notification(*[alert()] * 30, truncated=2), {})

    assert 11 == len(lines)
    assert 22 == lines[-1]["left_out"]
