"""Whether every panel of every dashboard has data."""

from __future__ import annotations

from typing import Any

from watchkeeper.verify.apis import Apis

__all__ = ["empty_panels", "substitute"]


def substitute(expr: str, variables: list[dict[str, Any]], *, interval_s: int, range_s: int) -> str:
    """Return a panel's expression with every variable set to "all"."""
    for variable in variables:
        expr = expr.replace(f"${variable['name']}", ".*")
    return expr.replace("$__rate_interval", f"{interval_s}s").replace("$__range", f"{range_s}s")


def empty_panels(
    apis: Apis, *, start_s: float, end_s: float, interval_s: int = 20
) -> tuple[int, list[str]]:
    """Return how many panels there are, and those of which a query gave no point.

    Args:
        apis: The server to ask.
        start_s: Start of the range, Unix seconds.
        end_s: End of the range.
        interval_s: What ``$__rate_interval`` becomes, seconds.
    """
    panels, empty = 0, []
    span_s = max(1, round(end_s - start_s))
    for entry in apis.json("/api/watchkeeper/v1/dashboards")["dashboards"]:
        board = apis.json(f"/api/watchkeeper/v1/dashboards/{entry['uid']}")
        for row in board["rows"]:
            for panel in row["panels"]:
                panels += 1
                for query in panel["queries"]:
                    expr = substitute(
                        query["expr"], board["variables"], interval_s=interval_s, range_s=span_s
                    )
                    if not apis.points(expr, start_s, end_s, max(1, span_s / 60)):
                        empty.append(f"{board['uid']}/{panel['id']}: {expr}")
    return panels, empty
