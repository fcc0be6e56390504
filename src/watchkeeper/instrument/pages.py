"""Pages that watchkeeper answers inside an application or its side listener, beside the metrics.

A page is a function from a request to an answer, so that ASGI, WSGI and the side listener serve the
same ones. A page decides itself who may see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from watchkeeper.instrument.guard import record_failure
from watchkeeper.vocabulary.limits import limit

__all__ = ["BODY_BYTES_MAX", "Answer", "Ask", "Page", "Pages", "answered"]

BODY_BYTES_MAX = limit("admin_body_bytes_max")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a client asks for."""

    method: str
    authorization: str = ""
    """The header ``Authorization``, "" if there is none."""
    body: bytes | None = b""
    """The body; None if it is longer than `BODY_BYTES_MAX`, and was not read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Beside ``Content-Type``, ``Content-Length`` and ``Cache-Control``."""

    def all_headers(self) -> list[tuple[str, str]]:
        """Return every header."""
        return [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            *self.headers,
        ]


Page = Callable[[Ask], Answer]
Pages = Mapping[str, Page]
"""Pages by path."""


def answered(page: Page, ask: Ask) -> Answer:
    """Return the answer of *page*, or 500 if it raises."""
    try:
        return page(ask)
    except Exception as error:  # noqa: BLE001 - the client must hear about it, the host must not
        record_failure("pages", error)
        return Answer(500, b'{"error":"the page failed; see watchkeeper_hook_errors_total"}\n')
