"""Where an alert goes: the search through the route tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from watchkeeper.server.alerts.config.model import Route

__all__ = ["matching_routes", "walk"]


def matching_routes(route: Route, labels: Mapping[str, str]) -> list[Route]:
    """Return the nodes that an alert with *labels* goes to, in the tree's order.

    Depth first, left to right: the first child that matches ends the search among its siblings
    unless it says ``continue``; a node whose children do not match is itself the answer. The root
    has no matchers, so that at least one node is returned for it.

    Args:
        route: The root, or any node.
        labels: The alert's labels.

    Returns:
        Nodes; none if *route* itself does not match.
    """
    if not all(matcher.matches(labels) for matcher in route.matchers):
        return []
    found: list[Route] = []
    for child in route.routes:
        below = matching_routes(child, labels)
        found += below
        if below and not child.continue_:
            break
    return found or [route]


def walk(route: Route) -> Iterator[Route]:
    """Yield *route* and all nodes below it, a node before its children."""
    yield route
    for child in route.routes:
        yield from walk(child)
