"""LangChain and LangGraph: runs of graphs, models, tools and chains, from OpenInference's spans.

OpenInference's tracer makes a span for each run but never makes one current, and does not tell an
agent from a chain whose name has "agent" in it. Here its runs get the names of the conventions, and
are made current where LangChain itself sets the context of what runs inside: what a tool or a node
does (queries, requests, log lines) belongs to its span. A model's client is put below the model's
span, so that the tokens of the two count once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import Span, set_span_in_context

from watchkeeper.instrument.domain.agents import look_for_loop
from watchkeeper.instrument.domain.content import content_text
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.frameworks import (
    FrameworkProvider,
    close_agent,
    own_span,
)
from watchkeeper.instrument.integrations.langchain_names import (
    agent_name,
    begin_agent,
    describe_model,
    describe_tool,
    failure,
    plain_texts,
)
from watchkeeper.instrument.integrations.missing import MissingPackage
from watchkeeper.instrument.integrations.patch import all_of, replace
from watchkeeper.instrument.recorder.current import activate, deactivate
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import RUN, Run, above

__all__ = ["PACKAGE", "instrument"]

PACKAGE = "openinference-instrumentation-langchain"
"""What has to be installed for this."""

_HOOK = "llm.langchain"
_RUNS_MAX = 4_096
"""Open runs that are remembered; the oldest are forgotten."""
_CHAT = frozenset(("llm", "chat_model"))
_CANCELLED = frozenset(("CancelledError", "KeyboardInterrupt", "abandoned"))
_HIDDEN = (
    "hide_inputs",
    "hide_outputs",
    "hide_llm_tools",
    "hide_llm_invocation_parameters",
    "hide_prompts",
    "hide_choices",
    "hide_retrieval_documents",
    "hide_embeddings_text",
    "hide_embeddings_vectors",
)
"""What OpenInference leaves out by itself; which later ones are added, `ContentSpan` leaves out."""

_MODEL: ContextVar[UUID | None] = ContextVar("watchkeeper_langchain_model", default=None)
"""The run of the model that was started last in this context; it may have ended."""


def instrument(host: Host) -> Callable[[], None]:
    """Record what LangChain and LangGraph run.

    Returns:
        A function that undoes it.

    Raises:
        MissingPackage: OpenInference's package is not installed.
    """
    try:
        from openinference.instrumentation import TraceConfig
        from openinference.instrumentation.langchain import LangChainInstrumentor
    except ImportError as error:
        raise MissingPackage("langchain", PACKAGE) from error

    instrumentor = LangChainInstrumentor()
    undos: list[Callable[[], None]] = []
    if not instrumentor.is_instrumented_by_opentelemetry:
        hidden = not host.settings.capture_content
        known = TraceConfig.__dataclass_fields__
        config: dict[str, Any] = {name: hidden for name in _HIDDEN if name in known}
        instrumentor.instrument(
            tracer_provider=FrameworkProvider(host.recorder.tracer_provider),
            skip_dep_check=True,
            config=TraceConfig(**config),
        )
        undos.append(instrumentor.uninstrument)
    # What the application's own instrumentation may read is its affair.
    content = host.settings.capture_content or not undos
    runs = _Runs(host, instrumentor._tracer, content=content)  # noqa: SLF001 - its runs have no other way in
    try:
        undos.append(runs.watch())
    except Exception:
        all_of(*undos)()
        raise
    above.append(runs.parent)
    undos += [lambda: above.remove(runs.parent), runs.undo_patches]
    return all_of(*undos)


class _Runs:
    """The open runs of one tracer of OpenInference."""

    def __init__(self, host: Host, tracer: Any, *, content: bool) -> None:
        self._host = host
        self._tracer = tracer
        self._content = content
        self._agents: dict[UUID, Run] = {}
        """The agent run that each open run belongs to."""
        self._began: dict[UUID, int] = {}
        """When models began whose first token is not there yet, on the monotonic clock."""
        self._patches: list[Callable[[], None]] = []
        self._waiting = {
            "langchain_core.runnables.config": self._watch_context,
            "langgraph._internal._runnable": self._watch_context,
            "langchain_core.language_models.chat_models": self._watch_models,
        }
        """Modules that were not imported to their end when a run began last."""
        self._patch()

    def watch(self) -> Callable[[], None]:
        """Learn of the beginning and end of every run; returns the undo function."""
        tracer = self._tracer
        start, end, token = tracer._start_trace, tracer._end_trace, tracer.on_llm_new_token  # noqa: SLF001 - as above
        inline = tracer.run_inline

        def started(run: Any) -> None:
            start(run)
            try:
                self._started(run)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)

        def ended(run: Any) -> None:
            try:
                self._ended(run)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
            end(run)

        def arrived(*args: Any, run_id: UUID, **kwargs: Any) -> Any:
            if run_id in self._began:
                self._first_token(run_id)
            return token(*args, run_id=run_id, **kwargs)

        # In a thread of its own, as asynchronous managers call it otherwise, it would see neither
        # the context of the run nor set one; and each token would cost a change of threads.
        tracer.run_inline = True
        tracer._start_trace, tracer._end_trace = started, ended  # noqa: SLF001 - as above
        tracer.on_llm_new_token = arrived

        def undo() -> None:
            for name in ("_start_trace", "_end_trace", "on_llm_new_token"):
                tracer.__dict__.pop(name, None)
            tracer.run_inline = inline

        return undo

    def parent(self) -> Context | None:
        """Return the context of the model that is asked here, if its span is not current."""
        run_id = _MODEL.get()
        span = None if run_id is None else self._span(run_id)
        return None if span is None else set_span_in_context(span)

    def _watch_context(self, module: Any) -> Callable[[], None]:
        """Make a run's span current with the context that LangChain sets for what it runs."""
        original = module._set_config_context  # noqa: SLF001 - the one place where it is set

        def set_context(config: Any, *args: Any, **kwargs: Any) -> Any:
            answer = original(config, *args, **kwargs)
            try:
                self._enter(config)
            except Exception as error:  # noqa: BLE001 - never into the application
                record_failure(_HOOK, error)
            return answer

        return replace(module, "_set_config_context", set_context)

    def _watch_models(self, module: Any) -> Callable[[], None]:
        """Make a chat model's span current while it is asked, but for streams.

        A stream is read by the application, in whose context nothing must be left: see `parent`.
        """
        owner = module.BaseChatModel
        generate = owner._generate_with_cache  # noqa: SLF001 - every subclass overrides what it calls
        agenerate = owner._agenerate_with_cache  # noqa: SLF001 - as above

        def asked(model: Any, *args: Any, **kwargs: Any) -> Any:
            with _Asked(self, kwargs.get("run_manager")):
                return generate(model, *args, **kwargs)

        async def aasked(model: Any, *args: Any, **kwargs: Any) -> Any:
            with _Asked(self, kwargs.get("run_manager")):
                return await agenerate(model, *args, **kwargs)

        return all_of(
            replace(owner, "_generate_with_cache", asked),
            replace(owner, "_agenerate_with_cache", aasked),
        )

    def undo_patches(self) -> None:
        """Put every module back as it was."""
        self._waiting.clear()
        all_of(*self._patches)()

    def _patch(self) -> None:
        for name in list(self._waiting):
            module = sys.modules.get(name)
            if module is None or getattr(module.__spec__, "_initializing", False):
                continue
            apply = self._waiting.pop(name, None)
            if apply is None:
                continue
            try:
                self._patches.append(apply(module))
            except (AttributeError, KeyError) as error:
                # Another version, without this place: spans are made all the same.
                record_failure(_HOOK, error)

    def _span(self, run_id: UUID) -> Span | None:
        span = own_span(self._tracer.get_span(run_id))
        return span if isinstance(span, Span) else None

    def _started(self, run: Any) -> None:
        if self._waiting:
            self._patch()
        span = self._span(run.id)
        if span is None:
            return
        metadata = (run.extra or {}).get("metadata") or {}
        agent = self._agents.get(run.parent_run_id) or RUN.get()
        kind = run.run_type
        if kind in _CHAT:
            describe_model(span, run, metadata)
            _MODEL.set(run.id)
            _keep(self._began, run.id, self._host.clock.monotonic_ns())
        elif kind == "tool":
            describe_tool(span, run)
            if agent is not None:
                look_for_loop(self._host, agent, run.name, run.inputs)
        elif kind == "chain":
            name = agent_name(run.name, metadata, agent)
            if name is not None and isinstance(span, RecordedSpan):
                agent = begin_agent(span, name, metadata)
        if agent is not None:
            _keep(self._agents, run.id, agent)

    def _ended(self, run: Any) -> None:
        self._began.pop(run.id, None)
        if self._content:
            # A text of LangChain's can be called, and OpenInference does, with a warning to see.
            run.inputs, run.outputs = plain_texts(run.inputs), plain_texts(run.outputs)
        else:
            # Else it would turn the whole state of a graph into JSON at each step, for nothing. The
            # tokens are in what a model returns.
            run.inputs = {}
            if run.run_type not in _CHAT:
                run.outputs = {}
        agent = self._agents.pop(run.id, None)
        span = self._span(run.id)
        if not isinstance(span, RecordedSpan):
            return
        failed = failure(span, run.error)
        if failed:
            span.set_attribute("error.type", failed)
        if agent is not None and span.attributes.get("gen_ai.operation.name") == "invoke_agent":
            outcome = "error" if failed else "success"
            if failed in _CANCELLED:
                outcome = "cancelled"
            end_ns = int(run.end_time.timestamp() * 1e9) if run.end_time else span.start_ns
            asked = {
                "gen_ai.input.messages": content_text(self._host, run.inputs or None),
                "gen_ai.output.messages": content_text(self._host, run.outputs or None),
            }
            content = {name: text for name, text in asked.items() if text is not None}
            close_agent(span, agent, outcome, end_ns, content)

    def _first_token(self, run_id: UUID) -> None:
        try:
            began = self._began.pop(run_id, None)
            span = self._span(run_id)
            if began is not None and span is not None:
                seconds = (self._host.clock.monotonic_ns() - began) / 1e9
                span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def _enter(self, config: Any) -> None:
        run_id = getattr(config.get("callbacks"), "parent_run_id", None)
        if run_id is None:
            return
        span = self._span(run_id)
        if span is not None:
            # Never taken back: the context is a copy, made for the code that is about to run in it.
            activate(span)
        agent = self._agents.get(run_id)
        if agent is not None:
            RUN.set(agent)


class _Asked:
    """A model's span is current for the length of a ``with`` block."""

    def __init__(self, runs: _Runs, manager: Any) -> None:
        self._runs = runs
        self._manager = manager
        self._token: Token[Context] | None = None
        self._token_model: Token[UUID | None] | None = None

    def __enter__(self) -> None:
        try:
            span = None if self._manager is None else self._runs._span(self._manager.run_id)  # noqa: SLF001 - same module
            if span is not None:
                self._token_model = _MODEL.set(None)
                self._token = activate(span)
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            deactivate(self._token)
        if self._token_model is not None:
            with suppress(ValueError):
                _MODEL.reset(self._token_model)


def _keep(kept: dict[UUID, Any], run_id: UUID, value: Any) -> None:
    while len(kept) >= _RUNS_MAX:
        try:
            kept.pop(next(iter(kept)), None)
        except (RuntimeError, StopIteration):
            # Another thread was at it in the same moment.
            break
    kept[run_id] = value
