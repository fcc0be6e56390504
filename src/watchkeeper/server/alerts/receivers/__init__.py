"""Who is told: one module for each channel, a pure builder of what is said and a thin sender."""

from watchkeeper.server.alerts.receivers.build import build_senders
from watchkeeper.server.alerts.receivers.log import LogSender

__all__ = ["LogSender", "build_senders"]
