"""Instrumentations of others, unchanged, export the same on the recorder as on the SDK."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.house.rooms import ROOT
from tests.instrument.recorder.collector import Answer, collecting
from tests.instrument.recorder.differential import (
    Program,
    assert_same,
    normalised,
    on_recorder,
    on_sdk,
    timeless,
)

from watchkeeper.instrument.recorder import RecorderLimits

LIMITS = RecorderLimits(attribute_value_chars_max=1_000_000)


def names(request: ExportTraceServiceRequest) -> list[str]:
    """Return the spans' names in the order of their end."""
    return [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


def compared(program: Program, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a program on both, assert that the exports are equal, and return the spans' names."""
    sdk = on_sdk(program, monkeypatch, LIMITS)
    own = on_recorder(program, LIMITS)
    assert_same(
        normalised(timeless(sdk), ours=False),
        normalised(timeless(own), ours=True),
    )
    return names(own)


@contextmanager
def global_provider(provider: trace.TracerProvider) -> Iterator[None]:
    """Make *provider* the global one for the length of a ``with`` block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield


def application(**options: object) -> object:
    """Return a FastAPI application with a route that works and one that does not."""
    from fastapi import BackgroundTasks, Depends, FastAPI

    app = FastAPI(**options)  # type: ignore[arg-type] # as FastAPI's

    def current_user() -> str:
        return "u"

    @app.get("/items/{item_id}")
    async def item(
        item_id: int, tasks: BackgroundTasks, user: Annotated[str, Depends(current_user)]
    ) -> dict[str, object]:
        tasks.add_task(lambda: None)
        return {"id": item_id, "user": user}

    @app.get("/broken")
    def broken() -> None:
        raise LookupError("nothing here")

    return app


def asked(app: object) -> None:
    """Ask an application four things."""

    async def ask() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type] # ASGI
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            parent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
            await client.get("/items/7?q=1", headers=parent)
            await client.get("/items/x")
            await client.get("/broken")
            await client.get("/nowhere")

    asyncio.run(ask())


def test_contribs_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that work, fail to validate, raise, and match no route."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    def program(provider: trace.TracerProvider) -> None:
        app = application(telemetry={"tracing": False, "metrics": False, "logs": False})
        FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)  # type: ignore[arg-type] # an application
        try:
            asked(app)
        finally:
            # It replaces Starlette's BackgroundTask.__call__ for the whole process.
            FastAPIInstrumentor.uninstrument_app(app)  # type: ignore[arg-type] # as above

    seen = compared(program, monkeypatch)
    assert {"GET /items/{item_id}", "GET /broken", "GET"} <= set(seen)


def test_fastapis_own_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Server spans and the spans of its operations, from the global provider."""

    def program(provider: trace.TracerProvider) -> None:
        with global_provider(provider):
            asked(application())

    seen = compared(program, monkeypatch)
    assert len(seen) >= 8
    assert "GET /items/{item_id}" in seen


def test_contribs_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that succeed, are refused, and reach nobody; sync and async."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    with collecting() as server, collecting() as gone:
        gone.close()

        def program(provider: trace.TracerProvider) -> None:
            server.script.extend([Answer(200), Answer(503), Answer(404)])
            with httpx.Client() as client:
                HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
                client.post(f"{server.url}/a?token=1", content=b"x")
                client.post(f"{server.url}/b", content=b"x")
                with pytest.raises(httpx.ConnectError):
                    client.get(gone.url)

            async def ask() -> None:
                async with httpx.AsyncClient() as client:
                    HTTPXClientInstrumentor.instrument_client(client, tracer_provider=provider)
                    with provider.get_tracer("app").start_as_current_span("outer"):
                        await client.post(f"{server.url}/c", content=b"x")

            asyncio.run(ask())

        seen = compared(program, monkeypatch)
    assert ["POST", "POST", "GET", "POST", "outer"] == seen


def test_contribs_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, a pipeline, and a command that Redis refuses."""
    import redis
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    def program(provider: trace.TracerProvider) -> None:
        instrumentor = RedisInstrumentor()
        with redis.Redis.from_url(redis_url) as client:
            client.ping()
            instrumentor.instrument_client(client, tracer_provider=provider)
            client.set("differential:a", "1")
            assert b"1" == client.get("differential:a")
            with pytest.raises(redis.ResponseError):
                client.lpush("differential:a", "x")
            with client.pipeline() as pipeline:
                pipeline.incr("differential:n")
                pipeline.delete("differential:n")
                pipeline.execute()
            client.delete("differential:a")

    seen = compared(program, monkeypatch)
    assert {"SET", "GET", "LPUSH", "DEL"} <= set(seen)


# OpenInference calls whatever can be called, LangChain's texts among them, which complain of it.
@pytest.mark.filterwarnings("ignore:Calling .text")
@pytest.mark.parametrize("genai", [False, True])
def test_openinferences_langchain(genai: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter
    """A chain of prompt, model and parser, and one whose model raises, with both sets of names."""
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda
    from openinference.instrumentation import TraceConfig
    from openinference.instrumentation.langchain import LangChainInstrumentor

    def fail(_: object) -> None:
        raise ValueError("no model")

    def program(provider: trace.TracerProvider) -> None:
        instrumentor = LangChainInstrumentor()
        instrumentor.instrument(
            tracer_provider=provider,
            skip_dep_check=True,
            config=TraceConfig(enable_genai_semconv=genai),
        )
        try:
            prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{q}")])
            chain = prompt | FakeListChatModel(responses=["four"]) | StrOutputParser()
            assert "four" == chain.invoke({"q": "2+2?"})
            with pytest.raises(ValueError, match="no model"):
                (prompt | RunnableLambda(fail)).invoke({"q": "?"})
        finally:
            instrumentor.uninstrument()

    seen = compared(program, monkeypatch)
    assert {"RunnableSequence", "ChatPromptTemplate", "FakeListChatModel"} <= set(seen)


SQL = """
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from tests.instrument.recorder.test_contrib import compared

def program(provider):
    engine = create_engine("sqlite://")
    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(engine=engine, tracer_provider=provider, skip_dep_check=True)
    try:
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE t (a INTEGER)"))
            connection.execute(text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
            assert 2 == len(connection.execute(text("SELECT a FROM t")).all())
            with pytest.raises(OperationalError):
                connection.execute(text("SELECT b FROM t"))
    finally:
        instrumentor.uninstrument()
        engine.dispose()

with pytest.MonkeyPatch.context() as patch:
    print(",".join(compared(program, patch)))
"""


def test_contribs_sqlalchemy(tmp_path: Path) -> None:
    """Statements that work and one that fails, on SQLAlchemy 2.0, the newest that contrib takes."""
    side = ROOT / "build" / "side" / "sqlalchemy20"
    path = os.pathsep.join(str(p) for p in (side, ROOT / "src", ROOT))
    done = subprocess.run(
        [sys.executable, "-c", SQL],
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    seen = done.stdout.strip().split(",")
    assert ["connect", "CREATE", "INSERT", "SELECT", "SELECT"] == [n.split(" ")[0] for n in seen]
