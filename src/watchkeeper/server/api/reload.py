"""``/-/reload``: reads the configuration files anew, as Prometheus does on the same request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from watchkeeper.errors import WatchkeeperError

__all__ = ["routes"]


def routes(reload: Callable[[], Awaitable[Mapping[str, str]]]) -> list[Route]:
    """Return the route for POST and PUT.

    It answers 200, or 500 with a line for each file that keeps what it had before.

    Args:
        reload: Reads everything anew and returns what is wrong, by file.
    """

    async def handle(_request: Request) -> Response:
        try:
            errors = await reload()
        except WatchkeeperError as error:
            return PlainTextResponse(f"the reload failed: {error}\n", status_code=500)
        if not errors:
            return PlainTextResponse("reloaded\n")
        lines = [f"not everything was reloaded: {len(errors)} files keep what they had before."]
        return PlainTextResponse("\n".join([*lines, *errors.values(), ""]), status_code=500)

    return [Route("/-/reload", handle, methods=["POST", "PUT"])]
