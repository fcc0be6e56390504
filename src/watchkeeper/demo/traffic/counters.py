"""What the traffic generator counts, exactly."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

__all__ = ["Counters"]

_KEPT = 20_000


class Counters:
    """Requests sent and how they ended; for one event loop."""

    def __init__(self) -> None:
        self._sent = 0
        self._answered = 0
        self._unanswered = 0
        self._statuses: Counter[int] = Counter()
        self._answers: deque[tuple[int, int, float]] = deque(maxlen=_KEPT)

    def sent(self) -> None:
        """Count a request that is about to leave."""
        self._sent += 1

    def answered(self, status: int, took_s: float) -> None:
        """Count an answer."""
        self._answered += 1
        self._statuses[status] += 1
        self._answers.append((self._answered, status, took_s * 1000))

    def unanswered(self) -> None:
        """Count a request that got no answer."""
        self._unanswered += 1

    def snapshot(self, after: int = 0) -> dict[str, Any]:
        """Return the counters.

        Args:
            after: Percentiles and the share of server errors leave out the first *after* answers;
                beyond that they cover the last 20,000.
        """
        answers = [(status, ms) for number, status, ms in self._answers if number > after]
        ordered = sorted(ms for _, ms in answers)

        def percentile(share: float) -> float:
            if not ordered:
                return 0.0
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

        errors = sum(status >= 500 for status, _ in answers)
        return {
            "sent": self._sent,
            "answered": self._answered,
            "unanswered": self._unanswered,
            "by_status": {str(code): count for code, count in sorted(self._statuses.items())},
            "latency_ms": {f"p{round(s * 100)}": percentile(s) for s in (0.5, 0.95, 0.99)},
            "error_share": round(errors / max(1, len(answers)), 4),
        }
