"""What LLM calls used: tokens, and the agent run that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from opentelemetry.context import Context

from watchkeeper.instrument.cuts import count_cut

__all__ = ["CALL", "NO_USAGE", "RUN", "Attempted", "Claims", "Run", "Usage", "above", "claims"]

_CLAIMS_MAX = 4_096


class Usage(NamedTuple):
    """Tokens of one call. The cached ones are parts of the input, as the conventions say."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    reasoning: int = 0
    """Part of the output."""


NO_USAGE = Usage()


class Attempted(Protocol):
    """A call whose client may send its request again by itself."""

    causes: tuple[str, ...]
    """Why each further request was sent: a status code, or ``connection``."""

    def record_retry(self, cause: str) -> None:
        """Record that the request has to be sent again."""
        ...


class Run:
    """What an agent run adds up from the calls made inside it."""

    __slots__ = (
        "calls",
        "cost_usd",
        "input_tokens",
        "looped",
        "name",
        "output_tokens",
        "parent",
        "priced",
        "repeats",
        "tools",
    )

    def __init__(self, name: str, parent: Run | None) -> None:
        self.name = name
        self.parent = parent
        self.calls = 0
        self.tools = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd = 0.0
        self.priced = False
        self.repeats: dict[tuple[str, int], int] | None = None
        """Calls of each tool by a hash of its arguments."""
        self.looped: frozenset[str] = frozenset()
        """Tools that were found to loop."""

    @property
    def steps(self) -> int:
        """LLM and tool calls."""
        return self.calls + self.tools

    def add(self, usage: Usage = NO_USAGE, cost_usd: float | None = None) -> None:
        """Add one LLM call here and in every run around this one."""
        run: Run | None = self
        while run is not None:
            run.calls += 1
            run.input_tokens += usage.input_tokens
            run.output_tokens += usage.output_tokens
            if cost_usd is not None:
                run.cost_usd += cost_usd
                run.priced = True
            run = run.parent

    def add_tool(self) -> None:
        """Add one tool call here and in every run around this one."""
        run: Run | None = self
        while run is not None:
            run.tools += 1
            run = run.parent

    def repeat(self, tool: str, arguments: int, kept_max: int) -> int:
        """Return how often this run called *tool* with these arguments, this time included.

        Args:
            tool: Name of the tool.
            arguments: A hash of its arguments.
            kept_max: Different calls to remember; a further one returns 0.
        """
        repeats = self.repeats
        if repeats is None:
            repeats = self.repeats = {}
        key = (tool, arguments)
        count = repeats.get(key, 0) + 1
        if count == 1 and len(repeats) >= kept_max:
            count_cut("agent_calls")
            return 0
        repeats[key] = count
        return count


RUN: ContextVar[Run | None] = ContextVar("watchkeeper_agent_run", default=None)
"""The innermost agent run of this context."""
CALL: ContextVar[Attempted | None] = ContextVar("watchkeeper_llm_call", default=None)
"""The `llm_call` around, which then counts for whatever its client traces."""


above: list[Callable[[], Context | None]] = []
"""Asked for the parent of an LLM call by those frameworks whose model span is not the current one."""


class Claims:
    """The latest spans of `llm_call`, whose tokens count; bounded, the oldest are forgotten."""

    __slots__ = ("_maximum", "ids", "parents")

    def __init__(self, maximum: int = _CLAIMS_MAX) -> None:
        self.ids: dict[int, None] = {}
        """The span ids, in the order in which they came: a model call directly below never counts."""
        self.parents: dict[int, None] = {}
        """The ids of the spans above them: if such a one is a model call, it does not count.

        Needed where the span above ends first, as a framework's does when a stream is abandoned.
        """
        self._maximum = maximum

    def add(self, span_id: int, parent_id: int = 0) -> None:
        """Remember a span and the one above it; 0 means none."""
        ids, parents = self.ids, self.parents
        ids[span_id] = None
        if parent_id:
            parents[parent_id] = None
        try:
            if len(ids) > self._maximum:
                ids.pop(next(iter(ids)), None)
            if len(parents) > self._maximum:
                parents.pop(next(iter(parents)), None)
        except (RuntimeError, StopIteration):
            # Another thread was at it in the same moment; the next call makes room.
            return

    def clear(self) -> None:
        """Forget everything: span ids begin anew."""
        self.ids.clear()
        self.parents.clear()

    def __contains__(self, span_id: int) -> bool:
        return span_id in self.ids


claims = Claims()
"""Of this process."""
