"""Requests of FastAPI applications, whose own telemetry must stand back."""

from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from opentelemetry import trace
from starlette.testclient import TestClient
from tests.instrument.integrations.http import ask
from tests.instrument.rig import Rig

from watchkeeper.instrument.integrations import install, uninstall


@pytest.fixture
def instrumented(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Switch the integrations on, with our recorder as the global tracer provider."""
    provider = rig.recorder.tracer_provider
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    install(rig, ["starlette", "fastapi"])
    yield rig
    uninstall()


def build() -> FastAPI:
    """Return an application with included and mounted routers."""
    deep = APIRouter(prefix="/deep")

    @deep.get("/{leaf}")
    async def leaf(leaf: str) -> str:
        return leaf

    router = APIRouter(prefix="/shop/{shop}")

    @router.get("/items/{item_id}")
    async def item(shop: str, item_id: int) -> dict[str, object]:
        return {"shop": shop, "id": item_id}

    router.include_router(deep)
    mounted = FastAPI()

    @mounted.get("/users/{user}")
    async def user(user: str) -> str:
        return user

    def dependency() -> int:
        return 1

    app = FastAPI()

    @app.post("/jobs")
    def start(tasks: BackgroundTasks, one: Annotated[int, Depends(dependency)]) -> int:
        tasks.add_task(dependency)
        return one

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError("nothing")

    app.include_router(router)
    app.include_router(router, prefix="/v2")
    app.mount("/sub/{tenant}", mounted)
    app.mount("/static", StaticFiles(directory="."), name="static")
    return app


async def test_exactly_one_server_span(instrumented: Rig) -> None:
    """With a global tracer provider FastAPI would add a server span and operation spans: none."""
    app = build()
    assert app._native_telemetry.enabled()
    answer = await ask(app, "/jobs", method="POST")
    assert 200 == answer.status
    assert ["POST /jobs"] == [span.name for span in instrumented.spans]
    assert ["watchkeeper"] == [span.scope_name for span in instrumented.spans]


async def test_without_us_fastapi_would_add_its_own(instrumented: Rig) -> None:
    """The same request without the integration: this is what the test above guards against."""
    uninstall()
    await ask(build(), "/jobs", method="POST")
    assert "fastapi" in {span.scope_name for span in instrumented.spans}
    assert len(instrumented.spans) > 1


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/shop/s1/items/7", "/shop/{shop}/items/{item_id}"),
        ("/v2/shop/s1/items/7", "/v2/shop/{shop}/items/{item_id}"),
        ("/v2/shop/s1/deep/x", "/v2/shop/{shop}/deep/{leaf}"),
        ("/sub/acme/users/u1", "/sub/{tenant}/users/{user}"),
        ("/sub/acme/nothing", "/sub/{tenant}/{path}"),
        ("/static/pyproject.toml", "/static/{path}"),
        ("/openapi.json", "/openapi.json"),
        ("/nothing", None),
    ],
)
async def test_routes_have_their_whole_template(
    instrumented: Rig, path: str, route: str | None
) -> None:
    """Prefixes of included routers and of mounts are part of the template."""
    await ask(build(), path)
    (span,) = instrumented.spans
    assert route == span.attributes.get("http.route")


async def test_a_root_path_is_no_part_of_the_route(instrumented: Rig) -> None:
    """What a proxy strips does not appear, with the application's own root path or the server's."""
    app = build()
    app.root_path = "/api"
    await ask(app, "/shop/s1/items/7")
    await ask(build(), "/api/sub/acme/users/u1", root_path="/api")
    assert ["/shop/{shop}/items/{item_id}", "/sub/{tenant}/users/{user}"] == [
        span.attributes.get("http.route") for span in instrumented.spans
    ]


async def test_a_validation_error_is_a_client_error(instrumented: Rig) -> None:
    """422 belongs to the route and is no error of the server."""
    await ask(build(), "/shop/s1/items/seven")
    (span,) = instrumented.spans
    assert 422 == span.attributes["http.response.status_code"]
    assert "error.type" not in span.attributes


def test_through_a_real_client(instrumented: Rig) -> None:
    """The test client sees the request id, and the exception behind a 500."""
    client = TestClient(build(), raise_server_exceptions=False)
    answer = client.get("/shop/s/items/1", headers={"X-Request-ID": "abc"})
    assert ("abc", {"shop": "s", "id": 1}) == (answer.headers["x-request-id"], answer.json())
    assert 500 == client.get("/broken").status_code
    assert "LookupError" == instrumented.spans[-1].attributes["error.type"]
    assert 2 == len(instrumented.spans)
