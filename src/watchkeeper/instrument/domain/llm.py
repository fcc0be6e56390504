"""LLM calls."""

from __future__ import annotations

from contextlib import suppress
from contextvars import Token
from typing import Any, TypeVar, cast

from opentelemetry.trace import SpanKind, StatusCode

from watchkeeper.instrument import context
from watchkeeper.instrument.domain.content import content_text
from watchkeeper.instrument.domain.responses import Answer
from watchkeeper.instrument.domain.scope import Scope, fail, start
from watchkeeper.instrument.domain.streams import WatchedStream
from watchkeeper.instrument.guard import guard
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.prices import price, warm_prices
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import CALL, RUN, Run, Usage, claims

__all__ = ["LlmCall", "llm_call"]

_HOOK = "domain.llm_call"
_GUARD = guard(_HOOK)
_Stream = TypeVar("_Stream")


class LlmCall(Scope):
    """One call of an LLM; made by `llm_call`."""

    hook = _HOOK

    def __init__(
        self,
        *,
        provider: str,
        model: str,
        operation: str = "chat",
        stream: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        input: object = None,  # noqa: A002 - the word that the providers use
    ) -> None:
        super().__init__()
        self._provider = provider
        self._model = model
        self._operation = operation
        self._is_stream = stream
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._input = input
        self._answer = Answer()
        self._run: Run | None = None
        self._token_call: Token[bool] | None = None
        self._started_ns = 0
        self._first_chunk_s: float | None = None
        self._streaming = False
        self._last_chunk_ns: int | None = None
        self._complete = True
        self._open_host: Host | None = None
        self._stream_error: BaseException | None = None

    @_GUARD
    def record_usage(
        self,
        input_tokens: int,
        output_tokens: int,
        cache_read: int = 0,
        cache_creation: int = 0,
    ) -> None:
        """Record the tokens of the call; the last word wins.

        Args:
            input_tokens: All input tokens, the cached ones included.
            output_tokens: All output tokens, reasoning included.
            cache_read: Input tokens that were read from a cache.
            cache_creation: Input tokens that were written to a cache.
        """
        self._answer.usage = Usage(input_tokens, output_tokens, cache_read, cache_creation)

    @_GUARD
    def record_response(self, response: object) -> None:
        """Record what a provider's answer says: model, id, tokens, finish reasons, content.

        Args:
            response: An answer, stream chunk or stream event of OpenAI (Chat Completions,
                Responses, embeddings) or Anthropic, or the same as decoded JSON. What is not
                understood changes nothing.
        """
        self._answer.read(response)

    @_GUARD
    def first_chunk(self) -> None:
        """Record that the first chunk of a streamed answer arrived now; later calls do nothing."""
        host = self._open_host
        if host is not None and self._first_chunk_s is None:
            self._first_chunk_s = (host.clock.monotonic_ns() - self._started_ns) / 1e9

    def wrap_stream(self, stream: _Stream) -> _Stream:
        """Return a stand-in for a provider's stream, synchronous or not, that records as it is read.

        The call then lasts until the stream does, also beyond the ``with`` block: exhausted it is
        complete; closed or dropped before that it counts what was seen, with ``error.type``
        ``abandoned``.

        Args:
            stream: What the provider's client returned: an iterator or asynchronous iterator.
        """
        if self._open_host is None:
            return stream
        self._streaming = True
        self._complete = False
        return cast("_Stream", WatchedStream(stream, self))

    def on_chunk(self, chunk: object) -> None:
        """Take in one chunk of the stream."""
        self.first_chunk()
        host = self._open_host
        if host is not None:
            self._last_chunk_ns = host.clock.now_ns()
        self._answer.read(chunk)

    def on_end(self, error: BaseException | None, *, complete: bool) -> None:
        """Learn that the stream ended."""
        if not self._streaming:
            return
        self._streaming = False
        self._complete = complete
        host, span = self._host, self._span
        if host is None or span is None:
            return
        if self._token is None:
            self._end(host, span, error)
        else:
            # Still inside the block, whose end reports it even if the application handles it.
            self._stream_error = error

    def _start(self, host: Host) -> RecordedSpan:
        warm_prices()
        self._run = RUN.get()
        self._answer.keep_content = host.settings.capture_content
        self._started_ns = host.clock.monotonic_ns()
        span = start(
            host,
            f"{self._operation} {self._model}",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": self._operation,
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": self._model,
                "gen_ai.request.max_tokens": self._max_tokens,
                "gen_ai.request.temperature": self._temperature,
                "gen_ai.request.stream": True if self._is_stream else None,
                "gen_ai.agent.name": self._run.name if self._run is not None else None,
                "tenant.id": context.tenant_id() or None,
                "gen_ai.input.messages": content_text(host, self._input),
            },
        )
        claims.add(span.span_id)
        self._token_call = CALL.set(True)
        self._open_host = host
        return span

    def _leave(self) -> None:
        token, self._token_call = self._token_call, None
        if token is not None:
            with suppress(ValueError):
                CALL.reset(token)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        if error is None and self._streaming:
            return
        self._streaming = False
        self._end(host, span, error or self._stream_error)

    def _end(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        if self._open_host is None:
            return
        self._open_host = None
        kind = self._fail(span, error)
        answer = self._answer
        cost = self._cost()
        usage = answer.usage
        found: dict[str, Any] = {
            "gen_ai.response.model": answer.model,
            "gen_ai.response.id": answer.id,
            "gen_ai.response.finish_reasons": answer.finish_reasons or None,
            "gen_ai.response.time_to_first_chunk": self._first_chunk_s,
            "llm.cost_usd": cost,
            "gen_ai.output.messages": content_text(host, answer.content or None),
        }
        if usage is not None:
            found["gen_ai.usage.input_tokens"] = usage.input_tokens
            found["gen_ai.usage.output_tokens"] = usage.output_tokens
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read or None
            found["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_creation or None
        span.set_attributes({name: value for name, value in found.items() if value is not None})
        self._log(host, cost, kind)
        # The run that the call belongs to, in whatever context a stream happens to end.
        token = RUN.set(self._run)
        try:
            span.end(self._last_chunk_ns if kind == "abandoned" else None)
        finally:
            RUN.reset(token)

    def _fail(self, span: RecordedSpan, error: BaseException | None) -> str | None:
        kind = self._answer.failed
        if error is not None and not isinstance(error, GeneratorExit):
            return fail(span, error)
        if kind is None and not self._complete:
            kind = "abandoned"
        if kind is not None:
            span.set_attribute("error.type", kind)
            span.set_status(StatusCode.ERROR)
        return kind

    def _cost(self) -> float | None:
        answer = self._answer
        if answer.usage is None:
            return None
        cost = price(self._provider, answer.model or self._model, answer.usage)
        if cost is None and answer.model is not None:
            cost = price(self._provider, self._model, answer.usage)
        return cost

    def _log(self, host: Host, cost: float | None, kind: str | None) -> None:
        usage = self._answer.usage
        host.event(
            "llm.call",
            "info" if kind is None else "warning" if kind == "abandoned" else "error",
            {
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": self._model,
                "gen_ai.usage.input_tokens": None if usage is None else usage.input_tokens,
                "gen_ai.usage.output_tokens": None if usage is None else usage.output_tokens,
                "llm.cost_usd": cost,
                "error.type": kind,
            },
        )


def llm_call(
    *,
    provider: str,
    model: str,
    operation: str = "chat",
    stream: bool = False,
    max_tokens: int | None = None,
    temperature: float | None = None,
    input: object = None,  # noqa: A002 - the word that the providers use
) -> LlmCall:
    """Record one call of an LLM: its span, duration, tokens, cost and time to the first chunk.

    Use it as ``with`` or ``async with``. What the provider's client traces by itself inside (the
    Anthropic client does) stays in the trace, but its tokens are not counted a second time.

    Args:
        provider: ``openai``, ``anthropic``, …: ``gen_ai.provider.name`` of the conventions.
        model: The model that is asked for.
        operation: ``chat``, ``embeddings``, ``text_completion``, ``generate_content``.
        stream: Whether the answer is streamed.
        max_tokens: Limit on generated tokens.
        temperature: Sampling temperature.
        input: What is asked; recorded only when `capture_content` is set.
    """
    return LlmCall(
        provider=provider,
        model=model,
        operation=operation,
        stream=stream,
        max_tokens=max_tokens,
        temperature=temperature,
        input=input,
    )
