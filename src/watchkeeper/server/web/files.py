"""The web UI's built files."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

__all__ = ["STATIC", "routes"]

STATIC = Path(__file__).parent / "static"

_UNBUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>watchkeeper</title>
<h1>The web UI is not built</h1>
<p>This is a source checkout. Run <code>make ui</code>, then reload. The APIs work meanwhile.</p>
</html>"""


def routes(static: Path = STATIC) -> list[BaseRoute]:
    """Return the routes of the UI; every path that is no file and no API is the page itself."""
    index = static / "index.html"

    async def page(request: Request) -> Response:
        if request.url.path.startswith(("/api/", "/loki/", "/v1/", "/-/", "/assets/")):
            return PlainTextResponse("not found\n", status_code=404)
        if not index.exists():
            return HTMLResponse(_UNBUILT, status_code=503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})

    found: list[BaseRoute] = []
    if (static / "assets").is_dir():
        found.append(Mount("/assets", StaticFiles(directory=static / "assets")))
    others = sorted(static.glob("*.*")) if static.is_dir() else []
    found.extend(_file(path) for path in others if path.name != "index.html")
    return [*found, Route("/{path:path}", page, methods=["GET"])]


def _file(path: Path) -> Route:
    async def send(_request: Request) -> Response:
        return FileResponse(path)

    return Route(f"/{path.name}", send, methods=["GET"])
