"""The clients of LLM providers that the generator Stainless writes: OpenAI's and Anthropic's.

Every method of such a client, with every helper around it (``parse``, ``stream``,
``with_raw_response``, ``with_streaming_response``), goes through one ``request`` of its base class:
that is where an `llm_call` is put around it. Answers stay what they are: of a stream only the
iterator inside is replaced, of a raw response nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from watchkeeper.instrument.domain.llm import LlmCall
from watchkeeper.instrument.domain.streams import WatchedStream
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.usage import CALL

__all__ = ["Client", "wrap"]

_HOOK = "llm.client"
_OPEN = "_watchkeeper_call"
"""Name of the attribute of a raw response that holds its open call."""


class Client(NamedTuple):
    """What differs between the libraries."""

    base: Any
    """The module ``_base_client``."""
    streams: tuple[Any, ...]
    """``Stream`` and ``AsyncStream``."""
    raw: tuple[Any, ...]
    """The classes of raw responses."""
    operations: Mapping[str, str]
    """``gen_ai.operation.name`` by the path of the endpoint."""
    provider: Callable[[Any], str]
    """Returns ``gen_ai.provider.name`` of a client."""


def wrap(host: Host, client: Client) -> Callable[[], None]:
    """Record the calls of every client of a library; returns the undo function."""
    base = client.base
    sync, asynchronous = base.SyncAPIClient, base.AsyncAPIClient
    request, arequest = sync.request, asynchronous.request

    def call(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        opened = _begin(host, client, self, options, kwargs)
        if opened is None:
            return request(self, cast_to, options, **kwargs)
        with opened:
            answer = request(self, cast_to, options, **kwargs)
            _take(client, opened, answer, kwargs)
        return answer

    async def acall(self: Any, cast_to: Any, options: Any, **kwargs: Any) -> Any:
        opened = _begin(host, client, self, options, kwargs)
        if opened is None:
            return await arequest(self, cast_to, options, **kwargs)
        async with opened:
            answer = await arequest(self, cast_to, options, **kwargs)
            _take(client, opened, answer, kwargs)
        return answer

    undos = [replace(sync, "request", call), replace(asynchronous, "request", acall)]
    undos += _watch_retries(sync, asynchronous)
    undos += [_watch_close(owner) for owner in client.streams]
    for owner in client.raw:
        undos.append(_watch_parse(client, owner))
        if "close" in owner.__dict__:
            undos.append(_watch_close(owner))
    return all_of(*undos)


def _begin(
    host: Host, client: Client, sender: Any, options: Any, kwargs: Mapping[str, Any]
) -> LlmCall | None:
    try:
        # An `llm_call` of the application around this one counts, and is told about retries.
        if options.method.lower() != "post" or CALL.get() is not None:
            return None
        operation = client.operations.get(options.url.partition("?")[0])
        body = options.json_data
        if operation is None or not isinstance(body, Mapping):
            return None
        asked = None
        if host.settings.capture_content:
            asked = next(
                (body[key] for key in ("messages", "input", "prompt") if key in body), None
            )
        maximum = next(
            (body[key] for key in ("max_tokens", "max_completion_tokens", "max_output_tokens") if key in body),
            None,
        )  # fmt: skip
        temperature = body.get("temperature")
        return LlmCall(
            provider=client.provider(sender),
            model=body.get("model") or "",
            operation=operation,
            stream=bool(kwargs.get("stream")),
            max_tokens=maximum if isinstance(maximum, int) else None,
            temperature=temperature if isinstance(temperature, int | float) else None,
            input=asked,
        )
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)
        return None


def _take(client: Client, call: LlmCall, answer: Any, kwargs: Mapping[str, Any]) -> None:
    """Read what the client returns, or see to it that it is read when the application does."""
    try:
        if isinstance(answer, client.streams):
            _watch(call, answer)
        elif isinstance(answer, client.raw):
            response = answer.http_response
            if response.is_stream_consumed and not kwargs.get("stream"):
                call.record_response(_decoded(response))
            else:
                # Read later: by ``parse``, or by the application itself until ``close``.
                setattr(answer, _OPEN, _Open(call))
        else:
            call.record_response(answer)
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)


def _watch(call: LlmCall, stream: Any) -> None:
    stream._iterator = call.wrap_stream(stream._iterator)  # noqa: SLF001 - the stream stays of its class


def _decoded(response: Any) -> object:
    if "json" not in response.headers.get("content-type", ""):
        return None
    return orjson.loads(response.content)


class _Open:
    """A call whose raw response the application has not read yet."""

    def __init__(self, call: LlmCall) -> None:
        self._call: LlmCall | None = call
        call.hold_open()

    def taken(self) -> LlmCall | None:
        """Return the call, which is somebody else's to end from here on."""
        call, self._call = self._call, None
        return call

    def __del__(self) -> None:
        """End the call: nobody will read its answer any more."""
        try:
            if self._call is not None:
                self._call.on_end(None, complete=False)
        except Exception as error:  # noqa: BLE001 - never into the garbage collector
            record_failure(_HOOK, error)


def _watch_parse(client: Client, owner: Any) -> Callable[[], None]:
    original = owner.parse

    def seen(self: Any, parsed: Any) -> None:
        opened = self.__dict__.pop(_OPEN, None)
        call = None if opened is None else opened.taken()
        if call is None:
            return
        try:
            if isinstance(parsed, client.streams):
                _watch(call, parsed)
            else:
                call.record_response(parsed)
                call.on_end(None, complete=True)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def parse(self: Any, **kwargs: Any) -> Any:
        parsed = original(self, **kwargs)
        seen(self, parsed)
        return parsed

    async def aparse(self: Any, **kwargs: Any) -> Any:
        parsed = await original(self, **kwargs)
        seen(self, parsed)
        return parsed

    return replace(owner, "parse", aparse if _is_async(original) else parse)


def _watch_close(owner: Any) -> Callable[[], None]:
    """Learn of streams and raw responses that are closed, read to their end or not."""
    original = owner.close

    def closed(self: Any) -> None:
        try:
            # Both by name in the instance: looking would make Anthropic's stream begin to read.
            iterator = self.__dict__.get("_iterator")
            if isinstance(iterator, WatchedStream):
                iterator.ended()
            opened = self.__dict__.pop(_OPEN, None)
            call = None if opened is None else opened.taken()
            if call is not None:
                response = self.http_response
                if response.is_stream_consumed and hasattr(response, "_content"):
                    call.record_response(_decoded(response))
                call.on_end(None, complete=response.is_stream_consumed)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def close(self: Any) -> Any:
        closed(self)
        return original(self)

    return replace(owner, "close", close)


def _watch_retries(sync: Any, asynchronous: Any) -> list[Callable[[], None]]:
    # Both clients call this before they send a request again; a version without it has no retries
    # in its spans and metrics.
    name = "_sleep_for_retry"
    if name not in sync.__dict__ or name not in asynchronous.__dict__:
        return []
    sleep, asleep = sync.__dict__[name], asynchronous.__dict__[name]

    def slept(self: Any, **kwargs: Any) -> Any:
        _retried(kwargs)
        return sleep(self, **kwargs)

    async def aslept(self: Any, **kwargs: Any) -> Any:
        _retried(kwargs)
        return await asleep(self, **kwargs)

    return [replace(sync, name, slept), replace(asynchronous, name, aslept)]


def _retried(kwargs: Mapping[str, Any]) -> None:
    try:
        call = CALL.get()
        if call is not None:
            response = kwargs.get("response")
            call.record_retry("connection" if response is None else str(response.status_code))
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)


def _is_async(function: Any) -> bool:
    return bool(function.__code__.co_flags & 0x80)  # CO_COROUTINE, without importing inspect
