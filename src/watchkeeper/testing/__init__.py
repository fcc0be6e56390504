"""The public testing kit: capture in memory, fixed clock and ids, an in-process server, fakes."""

from watchkeeper.testing.capture import Captured, CapturedLog, CapturedSpan, capture
from watchkeeper.testing.clock import FixedClock
from watchkeeper.testing.http_fake import Answer, Request
from watchkeeper.testing.ids import CountingIds
from watchkeeper.testing.pagerduty import FakePagerDuty, Incident
from watchkeeper.testing.processes import ProcessSpec, Supervisor, free_port, wait_until
from watchkeeper.testing.server import EmbeddedServer
from watchkeeper.testing.slack import FakeSlack, SlackPost
from watchkeeper.testing.smtp import FakeSmtp, Mail, SmtpAnswer
from watchkeeper.testing.webhook import FakeWebhook

__all__ = [
    "Answer",
    "Captured",
    "CapturedLog",
    "CapturedSpan",
    "CountingIds",
    "EmbeddedServer",
    "FakePagerDuty",
    "FakeSlack",
    "FakeSmtp",
    "FakeWebhook",
    "FixedClock",
    "Incident",
    "Mail",
    "ProcessSpec",
    "Request",
    "SlackPost",
    "SmtpAnswer",
    "Supervisor",
    "capture",
    "free_port",
    "wait_until",
]
