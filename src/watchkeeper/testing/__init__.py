"""The public testing kit: capture in memory, fixed clock and ids, an in-process server, fakes."""

from watchkeeper.testing.capture import Captured, CapturedLog, CapturedSpan, capture
from watchkeeper.testing.clock import FixedClock
from watchkeeper.testing.ids import CountingIds
from watchkeeper.testing.processes import ProcessSpec, Supervisor, free_port, wait_until
from watchkeeper.testing.server import EmbeddedServer
from watchkeeper.testing.slack import Answer, FakeSlack

__all__ = [
    "Answer",
    "Captured",
    "CapturedLog",
    "CapturedSpan",
    "CountingIds",
    "EmbeddedServer",
    "FakeSlack",
    "FixedClock",
    "ProcessSpec",
    "Supervisor",
    "capture",
    "free_port",
    "wait_until",
]
