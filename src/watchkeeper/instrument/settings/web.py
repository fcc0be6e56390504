"""The settings of HTTP servers and clients."""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.export import ExportSettings
from watchkeeper.instrument.settings.row import row

__all__ = ["WebSettings"]

_OFF = False


@dataclass(frozen=True, slots=True)
class WebSettings(ExportSettings):
    """The part of the table that HTTP integrations read."""

    fastapi_operation_spans: bool = row(
        _OFF,
        "Let FastAPI add its spans of dependencies, validation and serialization below ours.",
        parse.boolean,
        "WATCHKEEPER_FASTAPI_OPERATION_SPANS",
    )
    send_request_id: bool = row(
        _OFF,
        "Send the request id along as `X-Request-ID` with requests that the application makes.",
        parse.boolean,
        "WATCHKEEPER_SEND_REQUEST_ID",
    )
