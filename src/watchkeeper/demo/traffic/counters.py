"""What the traffic generator counts, exactly."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

__all__ = ["Counters"]

_LATENCIES = 5000


class Counters:
    """Requests sent and how they ended; for one event loop."""

    def __init__(self) -> None:
        self._sent = 0
        self._unanswered = 0
        self._statuses: Counter[int] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES)

    def sent(self) -> None:
        """Count a request that is about to leave."""
        self._sent += 1

    def answered(self, status: int, took_s: float) -> None:
        """Count an answer."""
        self._statuses[status] += 1
        self._latencies_ms.append(took_s * 1000)

    def unanswered(self) -> None:
        """Count a request that got no answer."""
        self._unanswered += 1

    def snapshot(self) -> dict[str, Any]:
        """Return everything, with the percentiles of the last 5,000 answers."""
        ordered = sorted(self._latencies_ms)

        def percentile(share: float) -> float:
            if not ordered:
                return 0.0
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

        return {
            "sent": self._sent,
            "answered": sum(self._statuses.values()),
            "unanswered": self._unanswered,
            "by_status": {str(code): count for code, count in sorted(self._statuses.items())},
            "latency_ms": {f"p{round(s * 100)}": percentile(s) for s in (0.5, 0.95, 0.99)},
        }
