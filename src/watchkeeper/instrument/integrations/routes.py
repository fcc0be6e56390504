"""The route template of a request, read from the ASGI scope after routing."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

__all__ = ["route_template"]

_FOUND_MAX = 1_000
_DEPTH_MAX = 8
_found: dict[Any, Any] = {}


def route_template(scope: MutableMapping[str, Any]) -> str:
    """Return the template of the route that Starlette or FastAPI chose, or "" if none matched.

    Starlette puts the innermost route into the scope. What mounted applications were mounted
    under is in ``root_path`` by then, as it was asked for: values of parameters in it are put back
    to their names, so that a template never carries a value. A route of a router that FastAPI
    includes lazily has its prefix only in FastAPI's own part of the scope. For plain routes and
    mounts (its documentation, static files) FastAPI names only the endpoint, which leads to them.
    """
    route = scope.get("route")
    if route is None:
        endpoint = scope.get("endpoint")
        route = None if endpoint is None else _with_endpoint(scope.get("router"), endpoint)
        if route is None:
            return ""
    path = getattr(route, "path_format", None)
    included = scope.get("fastapi")
    if included is not None:
        effective = included.get("effective_route_context")
        if effective is not None and effective.original_route is route:
            path = effective.path_format
    if not isinstance(path, str):
        return ""
    root = scope.get("root_path", "")
    outer = scope.get("app_root_path", root)
    if root == outer:
        return path or "/"
    mounted: str = root[len(outer) :]
    if hasattr(route, "routes"):
        # The mount itself was the last to match: its own path is part of what was asked for.
        path = "/{path}"
        own: Any = ()
    else:
        own = getattr(route, "param_convertors", ())
    for name, value in (scope.get("path_params") or {}).items():
        if name not in own and name != "path":
            mounted = mounted.replace(f"/{value}", f"/{{{name}}}", 1)
    return mounted + path


def _with_endpoint(router: Any, endpoint: Any) -> Any:
    try:
        return _found[endpoint]
    except KeyError:
        if len(_found) >= _FOUND_MAX:
            _found.clear()
        route = _found[endpoint] = _search(router, endpoint, _DEPTH_MAX)
        return route


def _search(router: Any, endpoint: Any, depth: int) -> Any:
    for route in getattr(router, "routes", None) or ():
        app = getattr(route, "app", None)
        if getattr(route, "endpoint", None) is endpoint or app is endpoint:
            return route
        if depth and app is not None:
            found = _search(app, endpoint, depth - 1)
            if found is not None:
                return found
    return None
