"""Asks a server for an instant query over Prometheus' HTTP API."""

from __future__ import annotations

from typing import Any, Self

import httpx

from watchkeeper.errors import QueryError
from watchkeeper.server.rules.model import ResultSample
from watchkeeper.server.series import sorted_labels
from watchkeeper.vocabulary.limits import limit

__all__ = ["QueryClient"]


class QueryClient:
    """Instant queries, in this process or elsewhere.

    Args:
        http: The client; its base URL is the server's, without ``/api/v1``. It is closed by
            `aclose`.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def in_process(cls, app: Any) -> Self:
        """Return a client of the ASGI application *app*, without a socket between."""
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return cls(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"))

    @classmethod
    def at(cls, url: str) -> Self:
        """Return a client of the Prometheus-compatible server at *url*."""
        timeout = float(limit("query_timeout_s_max")) + 5.0
        return cls(httpx.AsyncClient(base_url=url.rstrip("/"), timeout=timeout))

    async def instant(self, expr: str, t_ms: int) -> list[ResultSample]:
        """Return the result of *expr* at *t_ms* (Unix milliseconds).

        A scalar is one sample without labels.

        Raises:
            QueryError: The server cannot be reached, refuses the query, or answers with
                something other than a vector or a scalar.
        """
        form = {"query": expr, "time": f"{t_ms / 1000:.3f}"}
        try:
            response = await self._http.post("/api/v1/query", data=form)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise QueryError(
                f"the query was not answered: {type(error).__name__}: {error}. Accepted: an answer "
                "of Prometheus' HTTP API. Next: see whether the server runs."
            ) from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            what = answer.get("error", "") if isinstance(answer, dict) else ""
            raise QueryError(
                f"the query failed with HTTP {response.status_code}: {what or 'no reason given'}"
            )
        return _samples(answer.get("data"))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _samples(data: object) -> list[ResultSample]:
    try:
        if isinstance(data, dict) and data["resultType"] == "vector":
            return [
                ResultSample(sorted_labels(item["metric"]), float(item["value"][1]))
                for item in data["result"]
            ]
        if isinstance(data, dict) and data["resultType"] == "scalar":
            return [ResultSample((), float(data["result"][1]))]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise QueryError(f"the answer is not of Prometheus' HTTP API: {error!r}") from error
    kind = data.get("resultType") if isinstance(data, dict) else None
    raise QueryError(f"the expression gives a {kind}. Accepted: an instant vector or a scalar.")
