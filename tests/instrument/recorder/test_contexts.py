"""The quick way to the current span and the API's own way see the same."""

from __future__ import annotations

import os
import subprocess
import sys

from opentelemetry import context, trace
from opentelemetry.context import Context
from tests.instrument.recorder.collector import CountingIds, TickingClock

from watchkeeper.instrument.recorder import Recorder
from watchkeeper.instrument.recorder.contexts import attach_span, current_span
from watchkeeper.instrument.recorder.current import deactivate


def test_each_way_sees_what_the_other_set() -> None:
    """A span attached here is the API's current span, and one attached by the API is seen here."""
    span = Recorder({}, clock=TickingClock(), ids=CountingIds(), exporter=None).start("a")
    token = attach_span(span, None)
    assert span is trace.get_current_span()
    deactivate(token)
    token = context.attach(trace.set_span_in_context(span))
    assert span is current_span(None)
    context.detach(token)
    assert trace.INVALID_SPAN is current_span(None)


def test_what_else_is_in_the_context_stays() -> None:
    """Attaching a span keeps the other values of the context."""
    span = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
    outer = context.attach(context.set_value("mine", 7))
    token = attach_span(span, None)
    assert 7 == context.get_value("mine")
    deactivate(token)
    context.detach(outer)


def test_something_that_is_no_span_counts_as_none() -> None:
    """A foreign value under the span's key gives the invalid span, as the API does."""
    wrong = trace.set_span_in_context("no span")  # type: ignore[arg-type] # wrong on purpose
    assert trace.INVALID_SPAN is current_span(wrong)
    assert trace.INVALID_SPAN is current_span(Context())


def test_another_keeper_of_contexts_is_respected() -> None:
    """Where the API keeps its context elsewhere, its own functions are used."""
    code = """
import opentelemetry.context as api
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
class Elsewhere(ContextVarsRuntimeContext):
    def get_current(self):
        return api.Context({**super().get_current(), "seen": True})
api._RUNTIME_CONTEXT = runtime = Elsewhere()
runtime._current_context = (runtime._current_context,)
runtime.get_current = lambda: runtime._current_context[0].get()
runtime.attach = lambda context: runtime._current_context[0].set(context)
from opentelemetry.trace import get_current_span
from watchkeeper.instrument.recorder import contexts
print(contexts.current_span is get_current_span)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )

    assert "True\n" == done.stdout
