"""A tracer provider for frameworks that trace themselves: PydanticAI, and LangChain by OpenInference.

Their spans are ours, with three differences. Without the setting `capture_content` only attributes
that are known to hold no content are kept, and exceptions without their text; with it, content is
cut to `content_chars_max`. An agent's span opens an agent run, so that tokens, cost, steps and the
event ``agent.run`` are those of `watchkeeper.agent_run`. And the run is found again by whoever carries
on the OpenTelemetry context into another task.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes, AttributeValue

from watchkeeper.instrument import context as bound
from watchkeeper.instrument import host as hosts
from watchkeeper.instrument import redaction
from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.domain.agents import finish_run
from watchkeeper.instrument.errors import error_type
from watchkeeper.instrument.genai_names import content_fields
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.recorder.contexts import current_span
from watchkeeper.instrument.recorder.current import CurrentSpan, activate, deactivate
from watchkeeper.instrument.recorder.span import RECORDED, RecordedSpan
from watchkeeper.instrument.usage import RUN, Run

__all__ = [
    "ContentSpan",
    "FrameworkProvider",
    "close_agent",
    "current_run",
    "open_agent",
    "own_span",
]

_HOOK = "llm.framework"
_RUN_KEY = create_key("watchkeeper-agent-run")
_ID_MAX = 512

_PLAIN = frozenset(
    (
        "agent.loop.repeats",
        "agent.name",
        "agent.outcome",
        "agent_name",
        "embedding.model_name",
        "error.type",
        "exception.escaped",
        "exception.type",
        "gen_ai.agent.call.id",
        "gen_ai.agent.id",
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "gen_ai.operation.name",
        "gen_ai.output.type",
        "gen_ai.provider.name",
        "gen_ai.system",
        "gen_ai.tool.call.id",
        "gen_ai.tool.name",
        "gen_ai.tool.type",
        "llm.finish_reason",
        "llm.model_name",
        "llm.provider",
        "llm.system",
        "model_name",
        "openinference.span.kind",
        "operation.cost",
        "provider_name",
        "server.address",
        "server.port",
        "session.id",
        "tenant.id",
        "tool.name",
        "user.id",
    )
)
_PLAIN_PREFIXES = (
    "gen_ai.aggregated_usage.",
    "gen_ai.embeddings.",
    "gen_ai.request.",
    "gen_ai.response.",
    "gen_ai.usage.",
    "llm.cost.",
    "llm.token_count.",
    "pydantic_ai.cache.",
    "pydantic_ai.output.retry.",
    "pydantic_ai.tool.deferral.name",
    "pydantic_ai.tool.failure_stage",
    "pydantic_ai.tool.retry.",
)
_NEVER = frozenset(("logfire.json_schema", "logfire.msg"))
"""Hints for the pages of one product, in every span."""
_RENAMED = {
    "gen_ai.client.operation.time_to_first_chunk": "gen_ai.response.time_to_first_chunk",
}
"""What PydanticAI calls otherwise than the conventions."""
_KINDS = {"chat": "LLM", "text_completion": "LLM", "execute_tool": "TOOL", "invoke_agent": "AGENT"}


class ContentSpan(RecordedSpan):
    """A framework's span, which keeps content only on opt-in and only up to the limit.

    Has the layout of `RecordedSpan`: a span that was started becomes one by its class.
    """

    __slots__ = ()

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute, unless it may hold content that must not be recorded."""
        if type(key) is not str:
            return
        key = _RENAMED.get(key, key)
        if key in _PLAIN or key.startswith(_PLAIN_PREFIXES):
            if key == "openinference.span.kind":
                # OpenInference takes whatever has "agent" in its name for one, and no graph.
                operation = str(self.attributes.get("gen_ai.operation.name", ""))
                value = _KINDS.get(operation, "CHAIN" if value == "AGENT" else value)
            super().set_attribute(key, value)
        elif key not in _NEVER:
            chars_max = _content_chars_max()
            if chars_max:
                super().set_attribute(key, _cut(value, chars_max))

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set several attributes likewise."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Add an event; of an exception only its type, unless content may be recorded."""
        if attributes and not _content_chars_max():
            attributes = {
                key: value
                for key, value in attributes.items()
                if key in _PLAIN or not isinstance(value, str)
            }
        super().add_event(name, attributes, timestamp)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; its text is that of an exception, and kept likewise."""
        if not _content_chars_max():
            status, description = getattr(status, "status_code", status), None
        super().set_status(status, description)


RECORDED.add(ContentSpan)


class FrameworkProvider(TracerProvider):
    """Gives out tracers of the recorder whose spans are of `ContentSpan`.

    Args:
        provider: The recorder's.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """Return the tracer of an instrumentation scope."""
        return _FrameworkTracer(
            self._provider.get_tracer(
                instrumenting_module_name, instrumenting_library_version, schema_url, attributes
            )
        )


class _FrameworkTracer(Tracer):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
    ) -> Span:
        """Start a span without making it current."""
        span = self._tracer.start_span(
            name,
            _unwrapped(context),
            kind,
            None,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
        )
        if type(span) is RecordedSpan:
            span.__class__ = ContentSpan
            tenant = bound.tenant_id()
            if tenant:
                span.attributes["tenant.id"] = tenant
        if attributes:
            span.set_attributes(attributes)
        return span

    def start_as_current_span(  # type: ignore[override] # noqa: PLR0913, PLR0917 - the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        end_on_exit: bool = True,  # noqa: FBT001, FBT002 - the API's signature
    ) -> _CurrentSpan:
        """Return a context manager around a new current span."""
        return _CurrentSpan(
            functools.partial(self.start_span, name, context, kind, attributes, links, start_time),
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
            end_on_exit=end_on_exit,
        )


class _CurrentSpan(CurrentSpan):
    """A framework's span for the length of a ``with`` block, and with an agent's span its run."""

    __slots__ = ("_agent", "_token_run")

    def __init__(self, start: Callable[[], Span], **options: bool) -> None:
        super().__init__(start, **options)
        self._agent: Run | None = None
        self._token_run: Token[Run | None] | None = None

    def __enter__(self) -> Span:
        span = self._span = self._start()
        context = None
        run: Run | None = None
        try:
            if isinstance(span, RecordedSpan):
                run = self._agent = open_agent(span)
            if run is None:
                run = current_run()
            else:
                context = set_value(_RUN_KEY, run)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        if run is not None and run is not RUN.get():
            self._token_run = RUN.set(run)
        self._token = activate(span, context)
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            deactivate(self._token)
        if self._token_run is not None:
            deactivate(self._token_run)
        span, run = self._span, self._agent
        if isinstance(span, RecordedSpan):
            if isinstance(error, Exception):
                span.fail(error, record=self._record, set_status=self._set_status)
                # A framework also raises what is no failure, and leaves the status alone then.
                if span.status_code is StatusCode.ERROR:
                    span.set_attribute("error.type", error_type(error))
            if run is not None:
                close_agent(span, run, _outcome(error))
        if self._end_on_exit and span is not None:
            span.end()


def open_agent(span: RecordedSpan) -> Run | None:
    """Return the run that *span* begins, or None if it is no agent's; the caller makes it current."""
    found = span.attributes
    if found.get("gen_ai.operation.name") != "invoke_agent":
        return None
    user = bound.user_id()
    if user:
        found["user.id"] = user[:_ID_MAX]
    return Run(str(found.get("gen_ai.agent.name", "")), RUN.get())


def current_run() -> Run | None:
    """Return the innermost agent run around.

    A framework may carry on the OpenTelemetry context into a task, but not our own variable.
    """
    kept, run = get_value(_RUN_KEY), RUN.get()
    if not isinstance(kept, Run):
        return run
    inner = run
    while inner is not None:
        if inner is kept:
            return run
        inner = inner.parent
    return kept


def close_agent(
    span: RecordedSpan,
    run: Run,
    outcome: str,
    end_ns: int | None = None,
    content: Mapping[str, object] | None = None,
) -> None:
    """Write what *run* added up on its span, and its event; never raises.

    Args:
        span: The agent's span.
        run: Its run.
        outcome: ``success``, ``error`` or ``cancelled``.
        end_ns: When it ended, nanoseconds since the epoch; default now.
        content: What was asked and answered, for the event; default what the span has of it.
    """
    host = hosts.current()
    if host is None or not span.is_recording():
        return
    # Current, so that the event carries its ids.
    token = activate(span)
    try:
        if end_ns is None:
            end_ns = host.clock.now_ns()
        if content is None and host.settings.capture_content:
            content = content_fields(span.attributes, host.settings.content_chars_max)
        finish_run(host, span, run, outcome, max(end_ns, span.start_ns), content)
    except Exception as error:  # noqa: BLE001 - never into the application
        record_failure(_HOOK, error)
    finally:
        deactivate(token)


def own_span(span: object) -> object:
    """Return the span that a wrapper of OpenInference holds, or *span* itself."""
    return getattr(span, "__wrapped__", span)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "success"
    return "error" if isinstance(error, Exception) else "cancelled"


def _unwrapped(context: Context | None) -> Context | None:
    """Return *context* with the recorder's own span in it, which it knows without asking."""
    if context is None:
        return None
    parent = current_span(context)
    inner = own_span(parent)
    if inner is parent or not isinstance(inner, Span):
        return context
    return set_span_in_context(inner, context)


def _content_chars_max() -> int:
    host = hosts.current()
    if host is None or not host.settings.capture_content:
        return 0
    return host.settings.content_chars_max


def _cut(value: AttributeValue, chars_max: int) -> AttributeValue:
    if not isinstance(value, str) or len(value) <= chars_max:
        return value
    count_cut("content_length")
    # As for our own content: what is cut has to be redacted before.
    return redaction.cut(value, chars_max - 1) + "…"
