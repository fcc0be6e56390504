"""Whose work it is stays known in everything that a request of Starlette or FastAPI starts."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.instrument.integrations.http import ask
from tests.instrument.recorder.collector import Collector, collecting

import watchkeeper
from watchkeeper.instrument import context
from watchkeeper.instrument.guard import reraising

PEOPLE = ("ann", "bob")


class Work:
    """What the endpoints do: a span and a log line wherever `note` is called."""

    def __init__(self, runtime: Any) -> None:
        self.tracer = runtime.recorder.tracer_provider.get_tracer("work")
        self.log = watchkeeper.get_logger("work")
        self.answered = asyncio.Event()
        self.later: list[asyncio.Task[None]] = []
        self.open: list[AsyncGenerator[int]] = []

    def note(self, way: str) -> None:
        """Record a span and a line inside it."""
        with self.tracer.start_as_current_span(way):
            self.log.info(way)

    async def note_soon(self, way: str) -> None:
        """Do the same after others had their turn."""
        await asyncio.sleep(0)
        self.note(way)

    async def outlive(self) -> None:
        """Begin a span within the request, and end it after the request."""
        with self.tracer.start_as_current_span("late"):
            await self.answered.wait()
            self.log.info("late")

    async def numbers(self) -> AsyncGenerator[int]:
        """Hold a span open between two items."""
        with self.tracer.start_as_current_span("generator"):
            self.log.info("generator")
            yield 1
            yield 2

    async def stream(self) -> AsyncIterator[bytes]:
        """Be the body of an answer."""
        for _ in range(2):
            await self.note_soon("stream")
            yield b"x"

    async def everything(self) -> None:
        """Start work in every way that needs no answer of the framework."""
        self.later.append(asyncio.create_task(self.outlive()))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.note_soon("group"))
            group.create_task(self.note_soon("group"))
        await asyncio.to_thread(self.note, "thread")
        copied = contextvars.copy_context()
        thread = threading.Thread(target=copied.run, args=(self.note, "copy"))
        await asyncio.to_thread(contextvars.Context().run, thread.start)
        await asyncio.to_thread(thread.join)
        generator = self.numbers()
        # A generator shares the context of whoever asks it; a task keeps its span from the rest.
        await asyncio.create_task(_first(generator))
        self.open.append(generator)


def starlette_app(work: Work) -> Starlette:
    """Return the work as an application of Starlette."""

    async def endpoint(request: Request) -> Response:
        context.set_user_id(request.path_params["who"])
        context.set_tenant_id("of-" + request.path_params["who"])
        await work.everything()
        if request.query_params.get("stream"):
            return StreamingResponse(work.stream(), background=BackgroundTask(work.note, "after"))
        return PlainTextResponse("ok", background=BackgroundTask(work.note_soon, "after"))

    return Starlette(routes=[Route("/{who}", endpoint)])


def fastapi_app(work: Work) -> FastAPI:
    """Return the work as an application of FastAPI."""
    app = FastAPI()

    @app.get("/{who}")
    async def endpoint(who: str, tasks: BackgroundTasks, stream: str = "") -> Response:
        context.set_user_id(who)
        context.set_tenant_id("of-" + who)
        await work.everything()
        tasks.add_task(work.note if stream else work.note_soon, "after")
        if stream:
            return StreamingResponse(work.stream(), background=tasks)
        return PlainTextResponse("ok", background=tasks)

    return app


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Return a collector, and configure nothing before and after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "WATCHKEEPER_SPOOL_DIR", str(tmp_path / "spool"))
    with collecting() as made, reraising():
        yield made
        watchkeeper.shutdown(1.0)


@pytest.mark.parametrize("build", [starlette_app, fastapi_app])
async def test_work_that_a_request_starts_belongs_to_it(
    sink: Collector, build: Callable[[Work], Any]
) -> None:
    """Two requests at once: each span is a child of its own request's, and its line says whose."""
    out = io.StringIO()
    runtime = watchkeeper.configure(
        service="shop", endpoint=sink.url, log_stream=out, instrument=["starlette", "fastapi"]
    )
    work = Work(runtime)
    app = build(work)

    async def request(who: str) -> None:
        path = f"/{who}?stream=1" if who == PEOPLE[0] else f"/{who}"
        await ask(app, path, headers=(("x-request-id", f"r-{who}"),))

    await asyncio.gather(*(request(who) for who in PEOPLE))
    outside = (context.request_id(), context.user_id(), context.tenant_id())
    work.answered.set()
    await asyncio.gather(*work.later, *(_close(generator) for generator in work.open))
    assert await asyncio.to_thread(watchkeeper.flush, 10)

    assert ("", "", "") == outside
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    spans = {span.span_id.hex(): span for span in sink.spans()}
    servers = {
        value.value.string_value: span
        for span in spans.values()
        for value in span.attributes
        if value.key == "request.id"
    }
    for who in PEOPLE:
        server = servers[f"r-{who}"]
        own = [span for span in spans.values() if span.parent_span_id == server.span_id]
        streamed = ["stream"] * 2 if who == PEOPLE[0] else []
        wanted = sorted(["after", "copy", "generator", "group", "group", "late", "thread"])
        assert sorted(wanted + streamed) == sorted(span.name for span in own)
        assert {server.trace_id} == {span.trace_id for span in own}
        (late,) = (span for span in own if span.name == "late")
        assert late.end_time_unix_nano > server.end_time_unix_nano
        said = {
            (line["event"], line["span_id"], line["trace_id"], line["request_id"])
            for line in lines
            if line.get("user_id") == who and line.get("tenant_id") == f"of-{who}"
            if line["logger"] == "work"
        }
        assert said == {
            (span.name, span.span_id.hex(), span.trace_id.hex(), f"r-{who}") for span in own
        }
    assert 2 + 7 * 2 + 2 == len(spans)


async def test_a_plain_function_belongs_to_its_request(sink: Collector) -> None:
    """FastAPI runs it in a thread: its span is a child of the request's, its line has the ids."""
    out = io.StringIO()
    runtime = watchkeeper.configure(
        service="shop", endpoint=sink.url, log_stream=out, instrument=["starlette", "fastapi"]
    )
    work = Work(runtime)
    app = FastAPI()

    @app.get("/{who}")
    def endpoint(who: str) -> str:
        with context.bind(user_id=who):
            work.note("plain")
        return who

    await asyncio.gather(*(ask(app, f"/{who}", headers=(("x-request-id", who),)) for who in PEOPLE))
    assert await asyncio.to_thread(watchkeeper.flush, 10)

    spans = {span.span_id.hex(): span for span in sink.spans()}
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    plain = [line for line in lines if line["event"] == "plain"]
    assert set(PEOPLE) == {line["request_id"] for line in plain}
    for line in plain:
        parent = spans[spans[line["span_id"]].parent_span_id.hex()]
        assert line["request_id"] == line["user_id"]
        assert "GET /{who}" == parent.name
        assert line["trace_id"] == parent.trace_id.hex()
    assert 2 == len({line["trace_id"] for line in plain})


def _close(generator: AsyncGenerator[int]) -> Awaitable[None]:
    """Close *generator* in a task without the context that it was begun in."""
    return asyncio.create_task(_closed(generator), context=contextvars.Context())


async def _first(generator: AsyncGenerator[int]) -> int:
    return await anext(generator)


async def _closed(generator: AsyncGenerator[int]) -> None:
    await generator.aclose()
