"""The standard query APIs as a checker reads them: over HTTP and nothing else."""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["Apis"]


class Apis:
    """A client of the Prometheus, Tempo, Loki and Alertmanager-style APIs of one server."""

    def __init__(self, base_url: str, *, timeout_s: float = 30.0) -> None:
        """Speak to the server at *base_url*; close with `close`."""
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(self, path: str, **params: str | float) -> Any:
        """Return the decoded answer of a GET.

        Raises:
            httpx.HTTPError: The server did not answer, or not with 2xx.
        """
        answer = self._http.get(path, params=params)
        answer.raise_for_status()
        return answer.json()

    def instant(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the values of an instant PromQL query by sorted labels."""
        result = self.json("/api/v1/query", query=query)["data"]["result"]
        return {tuple(sorted(row["metric"].items())): float(row["value"][1]) for row in result}

    def total(self, query: str) -> float:
        """Return the sum over an instant query's values; 0 if it is empty."""
        return sum(self.instant(query).values())

    def points(self, query: str, start_s: float, end_s: float, step_s: float) -> int:
        """Return how many points a range query gives over all its series."""
        answer = self.json(
            "/api/v1/query_range", query=query, start=start_s, end=end_s, step=step_s
        )
        return sum(len(series["values"]) for series in answer["data"]["result"])

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the active alerts called *name*."""
        found = self.json("/api/v1/alerts")["data"]["alerts"]
        return [alert for alert in found if alert["labels"]["alertname"] == name]

    def traces(self, start_s: int, end_s: int, *, limit: int = 10_000) -> list[dict[str, Any]]:
        """Return the summaries of all traces of a time range."""
        found = self.json("/api/search", q="{}", start=start_s, end=end_s, limit=limit)
        traces: list[dict[str, Any]] = found["traces"]
        return traces

    def trace_spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Return every span of a trace as OTLP JSON."""
        answer = self.json(f"/api/traces/{trace_id}")
        return [
            span
            for batch in answer["batches"]
            for scope in batch["scopeSpans"]
            for span in scope["spans"]
        ]

    def log_events(self, start_s: float, end_s: float) -> set[str]:
        """Return the names of the log events that are stored between two moments."""
        answer = self.json(
            "/loki/api/v1/query",
            query=f'sum by (event_name) (count_over_time({{service_name=~".+"}}'
            f"[{round(end_s - start_s) + 1}s]))",
            time=f"{end_s:.3f}",
        )
        return {str(row["metric"].get("event_name", "")) for row in answer["data"]["result"]}

    def log_lines(self, start_s: float, end_s: float) -> int:
        """Return how many log lines are stored between two moments."""
        answer = self.json(
            "/loki/api/v1/query",
            query=f'sum(count_over_time({{service_name=~".+"}}[{round(end_s - start_s) + 1}s]))',
            time=f"{end_s:.3f}",
        )
        rows = answer["data"]["result"]
        return int(float(rows[0]["value"][1])) if rows else 0
