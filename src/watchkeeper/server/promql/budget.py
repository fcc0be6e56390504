"""What one evaluation may cost, and what it has to say beside its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from watchkeeper.clock import Clock
from watchkeeper.errors import QueryError, QueryLimitError

__all__ = [
    "Budget",
    "Notes",
    "QueryCanceledError",
    "QueryExecutionError",
    "QueryShapeError",
    "QueryTimeoutError",
]


class QueryExecutionError(QueryError):
    """The query met data that it cannot combine: duplicate series, an invalid parameter."""


class QueryShapeError(QueryLimitError):
    """The request itself crosses a limit: its text, nesting, or number of steps."""


class QueryTimeoutError(QueryLimitError):
    """The query ran longer than it may (``query_timeout_s_max``)."""


class QueryCanceledError(QueryError):
    """The caller no longer wants the answer."""


@dataclass(slots=True)
class Notes:
    """Annotations, in the order in which they came up, each once."""

    warnings: dict[str, None] = field(default_factory=dict)
    infos: dict[str, None] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Add a warning: the result is probably not what was meant."""
        self.warnings[f"PromQL warning: {text}"] = None

    def info(self, text: str) -> None:
        """Add an info: the result may not be what was meant."""
        self.infos[f"PromQL info: {text}"] = None


def _never() -> bool:
    return False


class Budget:
    """Counts samples and watches the time of one evaluation."""

    def __init__(
        self,
        *,
        clock: Clock,
        deadline_ns: int,
        samples_max: int,
        cancelled: Callable[[], bool] = _never,
    ) -> None:
        self._clock = clock
        self._deadline_ns = deadline_ns
        self._samples_max = samples_max
        self._cancelled = cancelled
        self._samples = 0
        self.notes = Notes()

    def check(self) -> None:
        """Stop when time is up or the caller has left.

        Raises:
            QueryTimeoutError: The deadline has passed.
            QueryCanceledError: The caller has left.
        """
        if self._cancelled():
            raise QueryCanceledError(
                "query canceled: got no reader for the answer. Accepted: a connection that "
                "stays open. Next: ask again."
            )
        if self._clock.monotonic_ns() > self._deadline_ns:
            raise QueryTimeoutError(
                "query timed out: got no result in time. Accepted: what fits the timeout "
                "(query_timeout_s_max). Next: narrow the range, raise the step, or record a part "
                "of it with a rule."
            )

    def take(self, samples: int) -> None:
        """Count samples that are about to be held in memory.

        Raises:
            QueryLimitError: The evaluation would hold more than it may.
        """
        self._samples += samples
        if self._samples > self._samples_max:
            raise QueryLimitError(
                f"query too large: got more than {self._samples_max} samples. Accepted: up to "
                f"{self._samples_max} (query_samples_max). Next: select fewer series, narrow the "
                "range, or raise the step."
            )
