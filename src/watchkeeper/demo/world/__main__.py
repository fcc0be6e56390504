"""Runs the outside world."""

from __future__ import annotations

import argparse

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from watchkeeper.demo.faults import FaultSwitch
from watchkeeper.demo.serving import serve
from watchkeeper.demo.world import anthropic_wire, oidc, openai_wire, slack
from watchkeeper.demo.world.mind import Mood


async def _ready(_request: Request) -> Response:
    return PlainTextResponse("ready\n")


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--speed", type=float, default=1.0)
    args = parser.parse_args()
    mood, faults = Mood(speed=args.speed), FaultSwitch()
    app = Starlette(
        routes=[
            Route("/ready", _ready),
            *openai_wire.routes(mood, faults),
            *anthropic_wire.routes(mood, faults),
            *oidc.routes(f"http://127.0.0.1:{args.port}"),
            *slack.routes(),
        ]
    )
    serve(app, args.port)


if __name__ == "__main__":
    main()
