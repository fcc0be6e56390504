"""What LangChain's runs are in the words of the semantic conventions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from watchkeeper.instrument.integrations.frameworks import open_agent
from watchkeeper.instrument.recorder.span import RecordedSpan
from watchkeeper.instrument.usage import Run

__all__ = [
    "agent_name",
    "begin_agent",
    "describe_model",
    "describe_tool",
    "failure",
    "plain_texts",
]

_CONTROL_FLOW = re.compile(r"(Command|ParentCommand|GraphInterrupt|NodeInterrupt)\(")
"""Exceptions by which a graph goes on elsewhere or waits for somebody."""
_GRAPHS = frozenset(("langgraph", "langchain_create_agent"))
_CONVERSATION = ("session_id", "conversation_id", "thread_id")
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "google_genai": "gcp.gen_ai",
    "google_vertexai": "gcp.vertex_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""Providers of the semantic conventions, where LangChain has another name."""


def agent_name(name: str, metadata: Mapping[str, Any], around: Run | None) -> str | None:
    """Return the name of the agent whose run this is, or None if it is a part of one."""
    own = metadata.get("lc_agent_name")
    if "langgraph_node" not in metadata:
        return str(own or name) if metadata.get("ls_integration") in _GRAPHS else _legacy(name)
    # A graph within a node: of an agent with a name of its own one is told.
    if own == name and (around is None or around.name != own):
        return name
    return None


def _legacy(name: str) -> str | None:
    return name if name == "AgentExecutor" else None


def begin_agent(span: RecordedSpan, name: str, metadata: Mapping[str, Any]) -> Run | None:
    """Make a graph's span that of an agent, and return the run that it begins."""
    span.update_name(f"invoke_agent {name}")
    span.set_attribute("gen_ai.operation.name", "invoke_agent")
    span.set_attribute("gen_ai.agent.name", name)
    for key in _CONVERSATION:
        if metadata.get(key):
            span.set_attribute("gen_ai.conversation.id", str(metadata[key]))
            break
    return open_agent(span)


def describe_model(span: Span, run: Any, metadata: Mapping[str, Any]) -> None:
    """Write on a model's span, as it begins, what is asked of which model."""
    operation = "text_completion" if metadata.get("ls_model_type") == "llm" else "chat"
    asked = (run.extra or {}).get("invocation_params") or {}
    model = metadata.get("ls_model_name") or asked.get("model") or asked.get("model_name") or ""
    provider = str(metadata.get("ls_provider") or "")
    span.update_name(f"{operation} {model or run.name}")
    span.set_attribute("gen_ai.operation.name", operation)
    span.set_attribute("gen_ai.request.model", str(model))
    if provider:
        span.set_attribute("gen_ai.provider.name", _PROVIDERS.get(provider, provider))


def describe_tool(span: Span, run: Any) -> None:
    """Write on a tool's span, as it begins, which tool it is."""
    span.update_name(f"execute_tool {run.name}")
    span.set_attribute("gen_ai.operation.name", "execute_tool")
    span.set_attribute("gen_ai.tool.name", run.name)
    call_id = (run.extra or {}).get("tool_call_id")
    if call_id:
        span.set_attribute("gen_ai.tool.call.id", str(call_id))


def failure(span: RecordedSpan, error: str | None) -> str:
    """Return the ``error.type`` of a run, "" if it did not fail."""
    if not error or _CONTROL_FLOW.match(error):
        return ""
    for event in reversed(span.events):
        if event.name == "exception":
            kind = str(event.attributes.get("exception.type") or "_OTHER")
            return "abandoned" if kind == "GeneratorExit" else kind
    return "_OTHER"


def plain_texts(values: Any) -> Any:
    """Return inputs or outputs with LangChain's own texts made plain ones."""
    if not isinstance(values, dict):
        return values
    return {
        key: str(value) if isinstance(value, str) and type(value) is not str else value
        for key, value in values.items()
    }
