"""The embedded server inside the test's own process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Self

import uvicorn

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import StartError
from watchkeeper.server.run import Server, bind, build
from watchkeeper.server.settings import ServerSettings
from watchkeeper.testing.processes import wait_until

__all__ = ["EmbeddedServer"]

_START_S = 20.0


class EmbeddedServer:
    """A real server on a free port of 127.0.0.1, in a thread; a context manager.

    Args:
        directory: An empty folder for data and targets.
        clock: Time as the server sees it; the host's if None.
        rule_files: Rule files instead of those that ship.
        prometheus_url: Where rules are evaluated; here if empty.
        slack_webhook_url: Where alerts go without an ``alertmanager.yml``.
        alertmanager_config: An ``alertmanager.yml``.
        escalation_file: An ``escalation.yml``.
        scrape_interval_s: Seconds between scrapes.
        eval_interval_s: Seconds between rule evaluations.

    Attributes:
        url: Base URL, from the start on.
        server: The parts, the store among them.
    """

    def __init__(  # noqa: PLR0913 - settings, each by its name
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        rule_files: tuple[Path, ...] = (),
        prometheus_url: str = "",
        slack_webhook_url: str = "",
        alertmanager_config: Path | None = None,
        escalation_file: Path | None = None,
        scrape_interval_s: float = 1.0,
        eval_interval_s: float = 1.0,
    ) -> None:
        self._socket = bind("127.0.0.1", 0)
        port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.targets_dir = directory / "targets"
        self.server: Server = build(
            ServerSettings(
                data_dir=directory / "data",
                targets_dir=self.targets_dir,
                port=port,
                otlp_port=0,
                rule_files=rule_files,
                prometheus_url=prometheus_url,
                slack_webhook_url=slack_webhook_url,
                alertmanager_config=alertmanager_config,
                escalation_file=escalation_file,
                scrape_interval_s=scrape_interval_s,
                eval_interval_s=eval_interval_s,
            ),
            clock=clock or SystemClock(),
        )
        config = uvicorn.Config(
            self.server.app, log_config=None, access_log=False, lifespan="on",
            timeout_graceful_shutdown=3,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="embedded-server", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._uvicorn.serve(sockets=[self._socket]))

    def __enter__(self) -> Self:
        self._thread.start()
        if not wait_until(lambda: self._uvicorn.started or not self._thread.is_alive(), _START_S):
            raise StartError(
                f"the server did not start: got no answer within {_START_S:.0f} s. "
                "Accepted: a started server. Next: read the log above."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(_START_S)
        self._socket.close()
