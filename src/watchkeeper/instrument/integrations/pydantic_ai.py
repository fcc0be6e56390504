"""PydanticAI: agent runs, model calls and tool calls, from the spans that it makes by itself.

Agents that the application instruments in its own way (`Agent.instrument_all`, `agent.instrument`,
a capability) stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchkeeper.instrument.domain.agents import look_for_loop
from watchkeeper.instrument.guard import record_failure
from watchkeeper.instrument.host import Host
from watchkeeper.instrument.integrations.frameworks import FrameworkProvider, current_run
from watchkeeper.instrument.integrations.patch import replace

__all__ = ["instrument"]

_HOOK = "llm.pydantic_ai"
_FORMATS = (6, 5, 4, 3)
"""Versions of the data format, the newest first; older ones do not name the operation."""


def instrument(host: Host) -> Callable[[], None]:
    """Let every agent of the process record through *host*, unless it is instrumented otherwise.

    Returns:
        A function that undoes it.
    """
    from pydantic_ai.agent import Agent

    before = Agent._instrument_default  # noqa: SLF001 - there is no public way to read it
    if before:
        return _nothing
    settings = _settings(host)
    Agent.instrument_all(settings)
    watched = _watch_tools(host)

    def undo() -> None:
        watched()
        if Agent._instrument_default is settings:  # noqa: SLF001 - as above
            Agent.instrument_all(before)

    return undo


def _settings(host: Host) -> Any:
    from pydantic_ai.models.instrumented import InstrumentationSettings

    options: dict[str, Any] = {
        "tracer_provider": FrameworkProvider(host.recorder.tracer_provider),
        "include_content": host.settings.capture_content,
        "include_binary_content": False,
    }
    # A release that does not know an option, or a format, is asked again without it.
    for newer in ({"include_model_request_parameters": False}, {}):
        for version in _FORMATS:
            tried: dict[str, Any] = {**options, **newer, "version": version}
            try:
                return InstrumentationSettings(**tried)
            except (TypeError, ValueError):
                continue
    return InstrumentationSettings(**options)


def _watch_tools(host: Host) -> Callable[[], None]:
    """Look for tools that are called again and again: without content no span has the arguments."""
    try:
        from pydantic_ai.capabilities.instrumentation import Instrumentation

        original = Instrumentation.wrap_tool_execute
    except (ImportError, AttributeError):
        # An older release.
        return _nothing

    async def execute(self: Any, ctx: Any, **kwargs: Any) -> Any:
        try:
            run = current_run()
            if run is not None:
                look_for_loop(host, run, kwargs["call"].tool_name, kwargs["args"])
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure(_HOOK, error)
        return await original(self, ctx, **kwargs)

    return replace(Instrumentation, "wrap_tool_execute", execute)


def _nothing() -> None:
    """Undo nothing: nothing was done."""
