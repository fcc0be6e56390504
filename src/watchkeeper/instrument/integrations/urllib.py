"""urllib of the standard library: a client span per request, with trace context out.

One span covers the redirects that the opener follows. It ends when the head of the answer is there.
Only ``http`` and ``https`` count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations import client
from watchkeeper.instrument.integrations.patch import replace
from watchkeeper.instrument.recorder.span import RecordedSpan

__all__ = ["instrument"]

_FOLLOWING: ContextVar[bool] = ContextVar("watchkeeper_urllib_following", default=False)
"""An opener opens each redirect by its own `open` again: that is the same request."""


def instrument(host: Host) -> Callable[[], None]:
    """Record the requests of every opener; ``urlopen`` has one.

    Returns:
        A function that undoes it.
    """
    from urllib.error import HTTPError
    from urllib.request import OpenerDirector, Request

    original: Any = OpenerDirector.open

    def call(opener: Any, fullurl: Any, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _FOLLOWING.get():
            return original(opener, fullurl, data, *args, **kwargs)
        # As the original does it; a text cannot carry headers.
        request = Request(fullurl, data) if isinstance(fullurl, str) else fullurl  # noqa: S310 - the caller's
        headers = _Headers(request)
        span = _begin(host, request, headers)
        token = _FOLLOWING.set(True)
        try:
            response = original(opener, request, data, *args, **kwargs)
        except HTTPError as error:
            client.end(span, error.code, None)
            raise
        except BaseException as error:
            client.end(span, None, error)
            raise
        finally:
            _FOLLOWING.reset(token)
            headers.take_back()
        client.end(span, getattr(response, "status", None), None)
        return response

    return replace(OpenerDirector, "open", call)


def _begin(host: Host, request: Any, headers: _Headers) -> RecordedSpan | None:
    try:
        url = urlsplit(request.full_url)
        if url.scheme not in {"http", "https"}:
            return None
        return client.begin(
            host,
            method=request.get_method(),
            url=client.full_url(url.scheme, url.netloc, url.path, url.query),
            address=url.hostname or "",
            port=url.port or (443 if url.scheme == "https" else 80),
            headers=headers,
        )
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(client.HOOK, error)
        return None


class _Headers(MutableMapping[str, Any]):
    """The headers of a request, by the names that it gives them.

    What is set is taken back: a request may be opened again, in another trace.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._set: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return self._request.headers[name.capitalize()]

    def __setitem__(self, name: str, value: Any) -> None:
        self._set.append(name)
        self._request.add_header(name, value)

    def __delitem__(self, name: str) -> None:
        del self._request.headers[name.capitalize()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._request.headers)

    def __len__(self) -> int:
        return len(self._request.headers)

    def take_back(self) -> None:
        """Remove what was set."""
        for name in self._set:
            self.pop(name, None)
