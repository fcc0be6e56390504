"""What LLM calls used: tokens, and the agent run that they belong to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["CALL", "NO_USAGE", "RUN", "Claims", "Run", "Usage", "claims"]

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


class Run:
    """What an agent run adds up from the calls made inside it."""

    __slots__ = ("cost_usd", "input_tokens", "name", "output_tokens", "parent", "priced", "steps")

    def __init__(self, name: str, parent: Run | None) -> None:
        self.name = name
        self.parent = parent
        self.steps = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd = 0.0
        self.priced = False

    def add(self, usage: Usage = NO_USAGE, cost_usd: float | None = None) -> None:
        """Add one step here and in every run around this one."""
        run: Run | None = self
        while run is not None:
            run.steps += 1
            run.input_tokens += usage.input_tokens
            run.output_tokens += usage.output_tokens
            if cost_usd is not None:
                run.cost_usd += cost_usd
                run.priced = True
            run = run.parent


RUN: ContextVar[Run | None] = ContextVar("watchkeeper_agent_run", default=None)
"""The innermost agent run of this context."""
CALL: ContextVar[bool] = ContextVar("watchkeeper_llm_call", default=False)
"""Whether this context is inside an `llm_call`, which then counts for whatever its client traces."""


class Claims:
    """The latest span ids whose tokens somebody else counts; bounded, the oldest are forgotten."""

    __slots__ = ("_ids", "_maximum")

    def __init__(self, maximum: int = _CLAIMS_MAX) -> None:
        self._ids: dict[int, None] = {}
        self._maximum = maximum

    def add(self, span_id: int) -> None:
        """Remember *span_id*."""
        ids = self._ids
        ids[span_id] = None
        if len(ids) > self._maximum:
            try:
                ids.pop(next(iter(ids)), None)
            except (RuntimeError, StopIteration):
                # Another thread was at it in the same moment; the next call makes room.
                return

    def __contains__(self, span_id: int) -> bool:
        return span_id in self._ids


claims = Claims()
"""Spans of `llm_call`: they count; model calls directly below them do not."""
