"""What spans of model calls, agents and tools say, whoever made them.

Read are the names of the semantic conventions, old and new, those of OpenInference (``llm.*``,
``openinference.span.kind``) and those of OpenLLMetry (``traceloop.*``, ``llm.request.type``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import StatusCode

from watchkeeper.instrument import redaction
from watchkeeper.instrument.cuts import count_cut
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import RUN, Usage

__all__ = [
    "AGENT",
    "COST",
    "INFERENCE",
    "MODEL",
    "PROVIDER",
    "TOOL",
    "call_fields",
    "content_fields",
    "error_of",
    "first",
    "operation_of",
    "run_fields",
    "text_of",
    "usage_of",
]

INFERENCE = frozenset(
    ("chat", "text_completion", "completion", "generate_content", "embeddings", "generate")
)
_OPENINFERENCE = {
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "AGENT": "invoke_agent",
    "TOOL": "execute_tool",
}
_TRACELOOP = {"agent": "invoke_agent", "tool": "execute_tool"}
_TRACELOOP_REQUEST = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
}
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_CREATION = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
COST = ("llm.cost_usd", "operation.cost", "gen_ai.usage.cost", "llm.cost.total")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
MODEL = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name")
AGENT = ("gen_ai.agent.name", "agent.name", "traceloop.entity.name")
TOOL = ("gen_ai.tool.name", "tool.name", "traceloop.entity.name")


_ASKED = ("gen_ai.input.messages", "pydantic_ai.all_messages", "input.value")
_ANSWERED = ("gen_ai.output.messages", "final_result", "output.value")


def operation_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the ``gen_ai.operation.name`` that a span stands for, or None."""
    found = attributes.get("gen_ai.operation.name")
    if found is not None:
        return str(found)
    kind = attributes.get("openinference.span.kind")
    if kind is not None:
        return _OPENINFERENCE.get(kind)
    kind = attributes.get("llm.request.type")
    if kind is not None:
        return _TRACELOOP_REQUEST.get(kind)
    kind = attributes.get("traceloop.span.kind")
    return None if kind is None else _TRACELOOP.get(kind)


def error_of(span: RecordedSpan, attributes: Mapping[str, Any]) -> str:
    """Return why a span failed: its ``error.type``, else the exception it recorded; "" if it did not."""
    error = attributes.get("error.type")
    if error:
        return str(error)
    if span.status_code is not StatusCode.ERROR:
        return ""
    for event in reversed(span.events):
        if event.name == "exception":
            kind = (event.attributes or {}).get("exception.type")
            return str(kind) if kind else "_OTHER"
    return "_OTHER"


def usage_of(attributes: Mapping[str, Any]) -> tuple[Any, Any, int, int, int]:
    """Return tokens of input and output, None where unknown, and those cached, written and reasoned."""
    if "gen_ai.usage.output_tokens" in attributes:
        # The names of the conventions, read without a search: these are the usual ones.
        given = attributes.get("gen_ai.usage.input_tokens")
        made = attributes["gen_ai.usage.output_tokens"]
    else:
        given, made = first(attributes, _INPUT), first(attributes, _OUTPUT)
    return (
        given,
        made,
        first(attributes, _CACHE_READ) or 0,
        first(attributes, _CACHE_CREATION) or 0,
        first(attributes, _REASONING) or 0,
    )


def first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return the value of the first of *names* that is there, or None."""
    for name in names:
        if name in attributes:
            return attributes[name]
    return None


def text_of(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the same as text, "" for None."""
    for name in names:
        if name in attributes:
            value = attributes[name]
            return value if type(value) is str else "" if value is None else str(value)
    return ""


def call_fields(
    attributes: Mapping[str, Any],
    key: tuple[str, str, str, str],
    usage: Usage,
    cost: float | None,
) -> dict[str, object]:
    """Return the fields of ``llm.call`` for a call that only a span reports."""
    run = RUN.get()
    used = usage.input_tokens or usage.output_tokens
    return {
        "gen_ai.operation.name": key[0],
        "gen_ai.provider.name": key[1] or None,
        "gen_ai.request.model": key[2] or None,
        "gen_ai.response.model": attributes.get("gen_ai.response.model"),
        "gen_ai.agent.name": attributes.get("gen_ai.agent.name", None if run is None else run.name),
        "gen_ai.response.time_to_first_chunk": attributes.get(
            "gen_ai.response.time_to_first_chunk"
        ),
        "gen_ai.usage.input_tokens": usage.input_tokens if used else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if used else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read or None,
        "llm.cost_usd": cost,
        "error.type": key[3] or None,
    }


def run_fields(attributes: Mapping[str, Any], name: str, error: str) -> dict[str, object]:
    """Return the fields of ``agent.run`` for a run that only a span reports."""
    given, made, _, _, _ = usage_of(attributes)
    return {
        "gen_ai.agent.name": name,
        "gen_ai.conversation.id": attributes.get("gen_ai.conversation.id")
        or attributes.get("session.id"),
        "llm.cost_usd": first(attributes, COST),
        "gen_ai.usage.input_tokens": given,
        "gen_ai.usage.output_tokens": made,
        "error.type": error or None,
    }


def content_fields(attributes: Mapping[str, Any], chars_max: int) -> dict[str, object]:
    """Return prompt and answer of a span, if it has them, cut to *chars_max* characters."""
    found: dict[str, object] = {}
    for name, sources in (("gen_ai.input.messages", _ASKED), ("gen_ai.output.messages", _ANSWERED)):
        text = first(attributes, sources)
        if isinstance(text, str):
            if len(text) > chars_max:
                count_cut("content_length")
                # What is cut has to be redacted before: half a secret would not be recognised.
                text = redaction.cut(text, chars_max - 1) + "…"
            found[name] = text
    return found
