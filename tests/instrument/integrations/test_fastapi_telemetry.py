"""FastAPI's own telemetry, and others', beside ours: one server span and one set of metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.instrument.integrations.http import ask
from tests.instrument.rig import Rig, attached

from watchkeeper import AsgiMiddleware
from watchkeeper.instrument.guard import reraising
from watchkeeper.instrument.integrations import install, uninstall


@contextmanager
def instrumented(patch: pytest.MonkeyPatch, **settings: Any) -> Iterator[Rig]:
    """Switch the integrations on, with our recorder as the global tracer provider."""
    with attached(**settings) as rig, reraising():
        provider = rig.recorder.tracer_provider
        patch.setattr(trace, "get_tracer_provider", lambda: provider)
        install(rig, ["starlette", "fastapi"])
        try:
            yield rig
        finally:
            uninstall()


def dependency() -> int:
    """Be depended on."""
    return 1


def build(**more: Any) -> FastAPI:
    """Return an application with a dependency, an answer to serialize and a background task."""
    app = FastAPI(**more)

    @app.post("/jobs/{number}")
    async def start(
        number: int, tasks: BackgroundTasks, one: Annotated[int, Depends(dependency)]
    ) -> dict[str, int]:
        tasks.add_task(dependency)
        return {"job": number + one}

    return app


def served(rig: Rig) -> list[str]:
    """Return the names of the server spans, after a look at the metrics."""
    (total,) = rig.totals("http_server_request_duration_seconds").values()
    names = [span.name for span in rig.spans if span.kind is SpanKind.SERVER]
    assert len(names) == total[0]
    assert [0.0] == list(rig.samples("http_server_active_requests").values())
    return names


async def test_operation_spans_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a request is one span, whatever FastAPI could add."""
    with instrumented(monkeypatch) as rig:
        await ask(build(), "/jobs/1", method="POST")
    assert ["POST /jobs/{number}"] == [span.name for span in rig.spans]


async def test_operation_spans_are_children_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting FastAPI's operations appear in the trace, below the only server span."""
    with instrumented(monkeypatch, fastapi_operation_spans=True) as rig:
        await ask(build(), "/jobs/1", method="POST")
    assert ["POST /jobs/{number}"] == served(rig)
    server = rig.named("POST /jobs/{number}")
    names = {span.name for span in rig.spans} - {server.name}
    assert (
        {
            "fastapi.dependencies",
            "fastapi.dependency",
            "fastapi.endpoint",
            "fastapi.serialization",
            "fastapi.background_task",
        }
        >= names
        >= {"fastapi.endpoint", "fastapi.background_task"}
    )
    assert {server.trace_id} == {span.trace_id for span in rig.spans}
    assert server.span_id == rig.named("fastapi.endpoint").parent_id


async def test_an_application_can_refuse_operation_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `FastAPI(telemetry=…)` turns off or excludes stays off."""
    with instrumented(monkeypatch, fastapi_operation_spans=True) as rig:
        await ask(build(telemetry={"operation_spans": False}), "/jobs/1", method="POST")
        await ask(build(telemetry={"exclude": lambda _: True}), "/jobs/1", method="POST")
    name = "POST /jobs/{number}"
    assert [name, name] == [span.name for span in rig.spans]


@pytest.mark.parametrize("operations", [False, True])
async def test_a_mounted_application_is_one_request(
    monkeypatch: pytest.MonkeyPatch, *, operations: bool
) -> None:
    """Below Starlette, below FastAPI and inside the middleware there is one server span."""
    with instrumented(monkeypatch, fastapi_operation_spans=operations) as rig:
        outer: Any = Starlette(routes=[Mount("/in/{tenant}", app=build())])
        await ask(AsgiMiddleware(outer), "/in/acme/jobs/1", method="POST")
        parent = build()
        parent.mount("/in/{tenant}", build())
        await ask(parent, "/in/acme/jobs/1", method="POST")
    name = "POST /in/{tenant}/jobs/{number}"
    assert [name, name] == served(rig)


async def test_the_other_instrumentation_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OpenTelemetry's FastAPI instrumentation also active there is one server span, ours."""
    with instrumented(monkeypatch) as rig:
        app = build()
        FastAPIInstrumentor.instrument_app(app, tracer_provider=rig.recorder.tracer_provider)
        try:
            await ask(app, "/jobs/1", method="POST")
        finally:
            FastAPIInstrumentor.uninstrument_app(app)
    assert ["POST /jobs/{number}"] == served(rig)


async def test_a_second_server_span_of_another_library_counts_nothing(rig: Rig) -> None:
    """Metrics count requests: a server span below one of the same process is a second view."""
    tracer = rig.recorder.tracer_provider.get_tracer("foreign")
    outer = rig.recorder.start("GET", SpanKind.SERVER, {"http.request.method": "GET"})
    inner = tracer.start_span(
        "GET",
        context=trace.set_span_in_context(outer),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": "GET"},
    )
    inner.end()
    outer.end()
    (total,) = rig.totals("http_server_request_duration_seconds").values()
    assert 1 == total[0]
