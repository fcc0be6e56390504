"""A process that escalates one group to webhooks until it is killed.

``python escalating_process.py FOLDER HOOK_URL``; prints ``ready`` once it works.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.alerting.escalation.samples import alert, group

from watchkeeper.clock import SystemClock
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.escalation.assembly import Escalating
from watchkeeper.server.alerts.escalation.loader import load_text
from watchkeeper.server.alerts.escalation.outlets import Outlet
from watchkeeper.server.alerts.receivers.webhook import WebhookSender
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.store.store import Store

RECEIVERS = ("a", "b", "c")
BOOK = """\
users: {ann: {contacts: [a]}, ben: {contacts: [b, c]}}
policies:
  - name: fast
    steps:
      - {notify: [{user: ann}], wait: 1s}
      - {notify: [{user: ben}, {user: ann}], wait: 1s}
    repeat: 1
    fallback: [{receiver: c}]
"""


async def main(folder: Path, url: str) -> None:
    """Escalate until the process is ended."""
    clock, metrics = SystemClock(), ServerMetrics()
    store = Store.open(folder / "data", clock=clock, metrics=metrics)
    outlets = {
        name: (Outlet("webhook[0]", WebhookSender({"url": Secret(f"{url}/{name}")})),)
        for name in RECEIVERS
    }
    escalating = Escalating(
        store,
        metrics,
        clock,
        data_dir=folder / "data",
        book=load_text(BOOK, "escalation.yml"),
        outlets=outlets,
    )
    escalating.start()
    await escalating.runner.on_notification(group(alert()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
