"""LLM calls."""

from __future__ import annotations

from contextvars import Token
from itertools import islice
from typing import Any, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from watchkeeper.instrument import context, prices
from watchkeeper.instrument.context import BOUND, Bound
from watchkeeper.instrument.domain.content import content_text
from watchkeeper.instrument.domain.responses import Answer
from watchkeeper.instrument.domain.scope import Scope, fail
from watchkeeper.instrument.domain.streams import WatchedStream
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.recorder.clean import clean_value
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan, Template
from watchkeeper.instrument.usage import CALL, RUN, Attempted, Run, Usage, above, claims

__all__ = ["LlmCall", "llm_call"]

_HOOK = "domain.llm_call"
_NAME_MAX = 512
_KINDS_MAX = 1_024
"""Kinds of calls that are remembered; the memory starts anew past it."""
_LOGGED = frozenset(
    (
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.agent.name",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "llm.cost_usd",
        "llm.tool_calls",
        "http.request.resend_count",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "error.type",
    )
)
"""Attributes of the span that the log event repeats."""
_Stream = TypeVar("_Stream")


_LEVELS = {None: "info", "abandoned": "warning"}
"""Levels of the log event, by the kind of failure; all others are errors."""
_Kind = tuple[str, str, str, str, str]
"""Operation, provider, model, agent and tenant."""
_KINDS: dict[_Kind, tuple[str, Template, dict[str, Any]]] = {}
"""Names and common attributes of the spans of calls, and which of these are logged, by their kind."""


def _kind(kind: _Kind) -> tuple[str, Template, dict[str, Any]]:
    operation, provider, model, agent, tenant = kind
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
    }
    if agent:
        attributes["gen_ai.agent.name"] = agent
    if tenant:
        attributes["tenant.id"] = tenant
    if len(_KINDS) >= _KINDS_MAX:
        _KINDS.clear()
    logged = {name: value for name, value in attributes.items() if name in _LOGGED}
    found = _KINDS[kind] = (f"{operation} {model}", Template(attributes), logged)
    return found


class LlmCall(Scope):
    """One call of an LLM; made by `llm_call`."""

    hook = _HOOK
    causes: tuple[str, ...] = ()
    _run: Run | None = None
    _token_call: Token[Attempted | None] | None = None
    _started_ns = 0
    _first_chunk_s: float | None = None
    _streaming = False
    _last_chunk_ns: int | None = None
    _complete = True
    _open_host: Host | None = None
    _stream_error: BaseException | None = None
    _logged: dict[str, Any]
    _bound: Bound

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
        self._provider = provider if type(provider) is str else str(provider)[:_NAME_MAX]
        self._model = model if type(model) is str else str(model)[:_NAME_MAX]
        self._operation = operation
        self._is_stream = stream
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._input = input
        self._answer = Answer()

    def record_usage(
        self,
        input_tokens: int,
        output_tokens: int,
        cache_read: int = 0,
        cache_creation: int = 0,
        reasoning: int = 0,
    ) -> None:
        """Record the tokens of the call; the last word wins.

        Args:
            input_tokens: All input tokens, the cached ones included.
            output_tokens: All output tokens, reasoning included.
            cache_read: Input tokens that were read from a cache.
            cache_creation: Input tokens that were written to a cache.
            reasoning: Output tokens of reasoning.
        """
        try:
            self._answer.usage = Usage(
                int(input_tokens),
                int(output_tokens),
                int(cache_read),
                int(cache_creation),
                int(reasoning),
            )
        except Exception as error:  # noqa: BLE001 - what is no number counts nothing
            record_failure(_HOOK, error)

    def record_response(self, response: object) -> None:
        """Record what a provider's answer says: model, id, tokens, finish reasons, content.

        Args:
            response: An answer, stream chunk or stream event of OpenAI (Chat Completions,
                Responses, embeddings) or Anthropic, or the same as decoded JSON. What is not
                understood changes nothing.
        """
        try:
            self._answer.read(response)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def record_retry(self, cause: str) -> None:
        """Record that the request has to be sent again.

        Args:
            cause: The status code of the answer, ``429`` for example, or ``connection``.
        """
        self.causes = (*self.causes, cause)

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
        self.hold_open()
        return cast("_Stream", WatchedStream(stream, self))

    def hold_open(self) -> None:
        """Let the call last beyond its block, until `on_end` says that it ended."""
        self._streaming = True
        self._complete = False
        self._bound = BOUND.get()

    def on_chunk(self, chunk: object) -> None:
        """Take in one chunk of the stream."""
        host = self._open_host
        if host is None:
            return
        if self._first_chunk_s is None:
            self.first_chunk()
        self._last_chunk_ns = host.clock.now_ns()
        self._answer.read(chunk)

    def on_end(self, error: BaseException | None, *, complete: bool) -> None:
        """Learn that the stream ended."""
        if not self._streaming:
            return
        self._streaming = False
        # Who stops reading after the reason for the end has the whole answer.
        self._complete = complete or bool(self._answer.finish_reasons)
        host, span = self._host, self._span
        if host is None or span is None:
            return
        if self._token is not None:
            # Still inside the block, whose end reports it even if the application handles it.
            self._stream_error = error
            return
        # Wherever the stream happens to end, collected in the middle of another request even: the
        # event has the ids of the call.
        token, unbind = activate(span), BOUND.set(self._bound)
        try:
            self._end(host, span, error)
        finally:
            BOUND.reset(unbind)
            deactivate(token)

    def _start(self, host: Host) -> RecordedSpan:
        if self._provider not in prices.WARMED:
            prices.warm_prices(self._provider, self._model, host.settings.llm_prices)
        run = self._run = RUN.get()
        agent = "" if run is None else run.name
        kind = (self._operation, self._provider, self._model, agent, context.tenant_id())
        name, template, self._logged = _KINDS.get(kind) or _kind(kind)
        attributes: dict[str, Any] = template.attributes.copy()
        if self._max_tokens is not None:
            attributes["gen_ai.request.max_tokens"] = clean_value(self._max_tokens, _NAME_MAX)
        if self._temperature is not None:
            attributes["gen_ai.request.temperature"] = clean_value(self._temperature, _NAME_MAX)
        if self._is_stream:
            attributes["gen_ai.request.stream"] = True
        if host.settings.capture_content:
            self._answer.keep()
            prompt = content_text(host, self._input)
            if prompt is not None:
                attributes["gen_ai.input.messages"] = prompt
        self._started_ns = host.clock.monotonic_ns()
        parent = _parent() if above else None
        span = host.recorder.start(name, SpanKind.CLIENT, attributes, parent, None, None, template)
        claims.add(span.span_id, span.parent_id)
        self._token_call = CALL.set(self)
        self._open_host = host
        return span

    def _leave(self) -> None:
        token, self._token_call = self._token_call, None
        if token is not None:
            deactivate(token)

    def _finish(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        if error is None and self._streaming:
            return
        self._streaming = False
        self._end(host, span, error or self._stream_error)

    def _end(self, host: Host, span: RecordedSpan, error: BaseException | None) -> None:
        if self._open_host is None:
            return
        self._open_host = None
        answer = self._answer
        if error is not None or answer.failed is not None or not self._complete:
            kind = self._fail(span, error)
        else:
            kind = None
        found = span.attributes
        self._put_answer(host, found)
        if self.causes:
            found["http.request.resend_count"] = len(self.causes)
        if kind is not None or self.causes:
            self._count(host, error, kind)
        end_ns = self._last_chunk_ns if kind == "abandoned" else None
        if end_ns is None:
            end_ns = host.clock.now_ns()
            end_ns = max(end_ns, span.start_ns)  # the host's clock was set back
        fields = self._logged.copy()
        # What was there at the start is in it already.
        for name, value in islice(found.items(), len(fields), None):
            if name in _LOGGED:
                fields[name] = value
        fields["duration_s"] = (end_ns - span.start_ns) / 1e9
        host.event("llm.call", _LEVELS.get(kind, "error"), fields)
        # The run that the call belongs to, in whatever context a stream happens to end.
        token = None if self._run is RUN.get() else RUN.set(self._run)
        try:
            span.end(end_ns)
        finally:
            if token is not None:
                RUN.reset(token)

    def _put_answer(self, host: Host, found: dict[str, AttributeValue]) -> None:
        # All of these are of the API's types already, so they need no cleaning.
        answer = self._answer
        if answer.was_read:
            found |= answer.described()
        if self._first_chunk_s is not None:
            found["gen_ai.response.time_to_first_chunk"] = self._first_chunk_s
        written = content_text(host, answer.content) if answer.content else None
        if written is not None:
            found["gen_ai.output.messages"] = written
        usage = answer.usage
        if usage is None:
            return
        given, made, read, created, reasoning = usage
        found["gen_ai.usage.input_tokens"] = given
        found["gen_ai.usage.output_tokens"] = made
        if read:
            found["gen_ai.usage.cache_read.input_tokens"] = read
        if created:
            found["gen_ai.usage.cache_creation.input_tokens"] = created
        if reasoning:
            found["gen_ai.usage.reasoning.output_tokens"] = reasoning
        own = host.settings.llm_prices
        cost = prices.price(self._provider, answer.model or self._model, usage, own)
        if cost is None and answer.model is not None:
            cost = prices.price(self._provider, self._model, usage, own)
        if cost is not None:
            found["llm.cost_usd"] = cost

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

    def _count(self, host: Host, error: BaseException | None, kind: str | None) -> None:
        causes = self.causes
        limited = causes.count("429") + (getattr(error, "status_code", None) == 429)
        labels = (self._provider, self._model)
        retries = host.metrics.counter("llm.retries")
        for cause in causes:
            retries.child((*labels, cause)).inc()
        if limited:
            host.metrics.counter("llm.rate_limits").child(labels).inc(limited)
        if kind == "abandoned":
            host.metrics.counter("llm.streams_abandoned").child(labels).inc()


def _parent() -> Context | None:
    for ask in above:
        found = ask()
        if found is not None:
            return found
    return None


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
