"""Answers a scrape of the metrics inside an application, if it may be answered."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.metrics.access import Access

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ["Answer", "Scraper"]

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""

_TEXT = "text/plain; charset=utf-8"


class Scraper:
    """Answers the scrapes of every application of this process.

    Args:
        host: The running instrumentation.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._access = Access(host.settings.metrics_token, host.settings.metrics_allow)

    def answer(self, accept: str, authorization: str, address: str | None) -> Answer:
        """Answer one scrape; never raises.

        Args:
            accept: The request's header ``Accept``, "" if there is none.
            authorization: The request's header ``Authorization``, "" if there is none.
            address: The client's address, None if it has none.
        """
        status = self._access.refusal(authorization, address)
        if status is not None:
            return _plain(status, b"not allowed\n")
        try:
            body, kind = self._host.metrics.scrape(accept)
        except Exception as error:  # noqa: BLE001 - the scraper must hear about it, the host must not
            record_failure("metrics.scrape", error)
            return _plain(500, b"metrics failed\n")
        return 200, [("Content-Type", kind), ("Content-Length", str(len(body)))], body

    async def answer_beside(self, accept: str, authorization: str, address: str | None) -> Answer:
        """Answer one scrape without keeping the event loop from other requests.

        The sum over many workers takes tens of milliseconds; it is done on a thread of its own,
        since those of the loop may all be busy with the application's work.
        """
        asyncio: Any = sys.modules.get("asyncio")
        if asyncio is None or not self._host.metrics.shared:
            return self.answer(accept, authorization, address)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Another kind of loop, trio's for example.
            return self.answer(accept, authorization, address)
        future: Future[Answer] = loop.create_future()

        def work() -> None:
            found = self.answer(accept, authorization, address)
            try:
                loop.call_soon_threadsafe(_settle, future, found)
            except RuntimeError:
                return  # the loop has ended meanwhile, and with it whoever waits

        threading.Thread(target=work, name="watchkeeper-scrape", daemon=True).start()
        return await future


def _settle(future: Future[Answer], found: Answer) -> None:
    if not future.done():
        future.set_result(found)


def _plain(status: int, body: bytes) -> Answer:
    headers = [("Content-Type", _TEXT), ("Content-Length", str(len(body)))]
    if status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    return status, headers, body
