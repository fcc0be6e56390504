"""A WSGI server in a few lines: sends one request and collects the answer."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any
from wsgiref.validate import validator

from tests.instrument.integrations.http import Answer


def environ_of(path: str, method: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return the environ of one request."""
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.7",
        "HTTP_HOST": "shop.example:8000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


def ask(
    app: Any,
    path: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    on_part: Any = None,
    strict: bool = True,
    environ: dict[str, Any] | None = None,
) -> Answer:
    """Run *app* for one request, under the validator of PEP 3333 if *strict*."""
    whole = {**environ_of(path, method, headers or {}, body), **(environ or {})}
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, given: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info is None and started:
            raise AssertionError("the answer has begun already")
        started[:] = [status, given]
        return written.append

    parts = (validator(app) if strict else app)(whole, start_response)
    try:
        for part in parts:
            written.append(part)
            if on_part is not None:
                on_part(part)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status = int(started[0][:3])
    return Answer(status, dict(started[1]), b"".join(written), started)
