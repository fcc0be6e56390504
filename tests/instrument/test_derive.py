"""Metrics derived from spans, whoever made them."""

from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from tests.instrument.rig import Rig, attached

from watchkeeper.instrument.derive import Derived
from watchkeeper.instrument.domain import agent_run, llm_call
from watchkeeper.instrument.guard import reraising
from watchkeeper.testing import capture


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return an attached rig."""
    with attached() as made, reraising():
        yield made


def emit(
    rig: Rig, kind: SpanKind, attributes: Mapping[str, object], *, failed: bool = False
) -> None:
    """End one span of another library, half a second long."""
    span = rig.recorder.tracer_provider.get_tracer("foreign").start_span(
        "x",
        kind=kind,
        attributes=attributes,  # type: ignore[arg-type] # attribute values in the tables here
    )
    if failed:
        span.set_status(StatusCode.ERROR)
    rig.clock.advance(0.5)
    span.end()


HTTP: dict[str, str | int] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.scheme": "http",
}


def test_requests_are_counted_by_route_and_status(rig: Rig) -> None:
    """Unmatched routes fold into one series, unknown methods into another."""
    emit(rig, SpanKind.SERVER, {**HTTP, "http.route": "/items/{id}"})
    emit(rig, SpanKind.SERVER, {**HTTP, "http.route": "/items/{id}"})
    emit(rig, SpanKind.SERVER, {**HTTP, "http.response.status_code": 404, "url.path": "/a"})
    emit(rig, SpanKind.SERVER, {**HTTP, "http.request.method": "BREW"})
    assert {
        'http_request_method="GET",http_route="/items/{id}",http_response_status_code="200",url_scheme="http"': (
            2,
            1.0,
        ),
        'http_request_method="GET",http_response_status_code="404",url_scheme="http"': (1, 0.5),
        'http_request_method="_OTHER",http_response_status_code="200",url_scheme="http"': (1, 0.5),
    } == rig.totals("http_server_request_duration_seconds")


def test_older_names_of_http_are_read(rig: Rig) -> None:
    """Spans with the names before 1.23 count as well."""
    emit(
        rig,
        SpanKind.SERVER,
        {"http.method": "GET", "http.status_code": 500, "http.scheme": "https"},
        failed=True,
    )
    assert {
        'http_request_method="GET",http_response_status_code="500",url_scheme="https",error_type="_OTHER"': (
            1,
            0.5,
        )
    } == rig.totals("http_server_request_duration_seconds")


def test_statements_are_counted(rig: Rig) -> None:
    """Client spans with a database system count, with their error."""
    base = {"db.system.name": "postgresql", "db.operation.name": "SELECT"}
    emit(rig, SpanKind.CLIENT, {**base, "db.collection.name": "users"})
    emit(rig, SpanKind.CLIENT, {**base, "error.type": "Timeout"}, failed=True)
    labels = 'db_system_name="postgresql",db_operation_name="SELECT"'
    assert {
        f'{labels},db_collection_name="users"': (1, 0.5),
        f'{labels},error_type="Timeout"': (1, 0.5),
    } == rig.totals("db_client_operation_duration_seconds")


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 3,
        },
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 3,
        },
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 3,
        },
        {
            "llm.request.type": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.prompt_tokens": 10,
            "gen_ai.usage.completion_tokens": 3,
            "llm.usage.total_tokens": 13,
        },
    ],
    ids=["conventions", "older", "openinference", "openllmetry"],
)
def test_model_calls_of_every_dialect_are_counted(rig: Rig, attributes: dict[str, object]) -> None:
    """Tokens, duration and a price of our own table, whichever names a library writes."""
    emit(rig, SpanKind.CLIENT, attributes)
    labels = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
    )
    assert {
        f'{labels},gen_ai_token_type="input"': (1, 10),
        f'{labels},gen_ai_token_type="output"': (1, 3),
    } == rig.totals("gen_ai_client_token_usage")
    assert {labels: (1, 0.5)} == rig.totals("gen_ai_client_operation_duration_seconds")
    assert [pytest.approx((10 * 2.5 + 3 * 10) / 1e6)] == list(
        rig.samples("llm_cost_usd_total").values()
    )
    [(name, level, told)] = rig.events
    assert ("llm.call", "info", "openai", "gpt-4o", 10, 3, 0.5) == (
        name,
        level,
        told["gen_ai.provider.name"],
        told["gen_ai.request.model"],
        told["gen_ai.usage.input_tokens"],
        told["gen_ai.usage.output_tokens"],
        told["duration_s"],
    )


def test_events_of_others_carry_the_ids_of_their_spans() -> None:
    """A call that only a span reports is told with its trace, and not when `llm_call` tells it."""
    with capture() as earlier:
        # Its span ids are the same: a capture counts from one.
        for _ in range(3):
            with llm_call(provider="openai", model="gpt-4o"):
                pass
    assert 3 == len(earlier.spans)
    with capture() as captured:
        tracer = captured.runtime.recorder.tracer_provider.get_tracer("foreign")
        tracer.start_span("x", attributes=CALL).end()
        with llm_call(provider="openai", model="gpt-4o") as call:
            tracer.start_span("x", attributes=CALL).end()
            call.record_usage(10, 3)
    foreign, _, own = captured.spans
    assert [foreign.trace_id, own.trace_id] == [log.trace_id for log in captured.logs]
    assert ["llm.call", "llm.call"] == [log.body for log in captured.logs]


def test_a_failed_span_says_why_by_its_exception(rig: Rig) -> None:
    """Without ``error.type`` the class of the exception that was recorded stands for it."""
    tracer = rig.recorder.tracer_provider.get_tracer("foreign")
    for attributes in (CALL, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}):
        span = tracer.start_span("x", attributes=attributes)
        span.record_exception(LookupError("t"))
        span.set_status(StatusCode.ERROR)
        span.end()
    for name in (
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_execute_tool_duration_seconds",
    ):
        [labels] = rig.totals(name)
        assert labels.endswith('error_type="LookupError"')
    assert ("error", "LookupError") == (rig.events[0][1], rig.events[0][2]["error.type"])


def test_a_call_of_ours_keeps_the_span_above_from_counting(rig: Rig) -> None:
    """Also if that span ends first, as a framework's does when a stream is abandoned."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    with tracer.start_as_current_span(
        "agent", attributes={"gen_ai.operation.name": "invoke_agent"}
    ):
        above = tracer.start_as_current_span("chat", attributes=CALL)
        span = above.__enter__()
        call = llm_call(provider="openai", model="gpt-4o")
        call.__enter__()
        span.end()
        call.record_usage(10, 3)
        call.__exit__(None, None, None)
        above.__exit__(None, None, None)
    durations = rig.totals("gen_ai_client_operation_duration_seconds")
    assert [1] == [count for count, _ in durations.values()]
    assert [(1, 10), (1, 3)] == list(rig.totals("gen_ai_client_token_usage").values())
    assert [(1, 1)] == list(rig.totals("agent_run_steps").values())


def test_a_price_on_the_span_wins(rig: Rig) -> None:
    """What another library priced is taken over."""
    emit(
        rig,
        SpanKind.CLIENT,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "x",
            "gen_ai.request.model": "y",
            "gen_ai.usage.input_tokens": 1,
            "operation.cost": 0.25,
        },
    )
    assert [0.25] == list(rig.samples("llm_cost_usd_total").values())
    assert {} == rig.samples("llm_unknown_price_total")


@pytest.mark.parametrize("name", ["x/y", "y", "y-2026"])
def test_a_price_of_the_user_goes_before_it(name: str) -> None:
    """Who has set a price for a model knows better than whoever made the span."""
    with attached(llm_prices={name: {"input": 2, "output": 6}}) as rig, reraising():
        emit(
            rig,
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "x",
                "gen_ai.request.model": "y",
                "gen_ai.response.model": "y-2026",
                "gen_ai.usage.input_tokens": 1_000_000,
                "gen_ai.usage.output_tokens": 0,
                "operation.cost": 0.25,
            },
        )
    assert [2.0] == list(rig.samples("llm_cost_usd_total").values())


CALL: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 3,
}


def input_tokens(rig: Rig) -> float:
    """Return all input tokens that were counted."""
    totals = rig.totals("gen_ai_client_token_usage")
    return sum(total for labels, (_, total) in totals.items() if '"input"' in labels)


def test_agents_that_repeat_totals_are_not_counted_again(rig: Rig) -> None:
    """Only model calls count tokens; an agent's span with the same totals does not."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    agent = {**CALL, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
    with tracer.start_as_current_span("invoke_agent a", attributes=agent):
        tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL).end()
    assert 10 == input_tokens(rig)
    assert {'gen_ai_agent_name="a"': (1, 0)} == rig.totals("gen_ai_invoke_agent_duration_seconds")


def test_a_framework_around_a_client_counts_once(rig: Rig) -> None:
    """Of two nested model calls of other libraries the inner one counts."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT, attributes=CALL):
        tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL).end()
    assert 10 == input_tokens(rig)
    emit(rig, SpanKind.CLIENT, dict(CALL))
    assert 20 == input_tokens(rig)


def test_a_client_that_traces_itself_inside_our_call_counts_once(rig: Rig) -> None:
    """Below `llm_call` only the call itself counts, also when the client's span ends later."""
    tracer = rig.recorder.tracer_provider.get_tracer("client")
    with agent_run("a") as run:
        with llm_call(provider="openai", model="gpt-4o") as call:
            late = tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL)
            with tracer.start_as_current_span("transport"):
                tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL).end()
            call.record_usage(10, 3)
        late.end()
    assert 10 == input_tokens(rig)
    assert (1, 10) == (run.steps, run.input_tokens)


def test_a_frameworks_spans_between_do_not_matter(rig: Rig) -> None:
    """A span of attempts or of transport between two nested model calls changes nothing."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    with (
        tracer.start_as_current_span("chat", kind=SpanKind.CLIENT, attributes=CALL),
        tracer.start_as_current_span("attempt"),
        llm_call(provider="openai", model="gpt-4o") as call,
    ):
        call.record_usage(10, 3)
    assert 10 == input_tokens(rig)


@pytest.mark.parametrize(
    ("agent", "chat", "tool"),
    [
        (
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"},
            CALL,
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"},
        ),
        (
            {"openinference.span.kind": "AGENT", "agent.name": "a"},
            {"openinference.span.kind": "LLM", "llm.token_count.prompt": 10},
            {"openinference.span.kind": "TOOL", "tool.name": "t"},
        ),
        (
            {"traceloop.span.kind": "agent", "traceloop.entity.name": "a"},
            {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 10},
            {"traceloop.span.kind": "tool", "traceloop.entity.name": "t"},
        ),
    ],
    ids=["conventions", "openinference", "openllmetry"],
)
def test_agents_of_every_dialect_have_steps_and_outcomes(
    rig: Rig, agent: dict[str, str], chat: dict[str, str], tool: dict[str, str]
) -> None:
    """Steps of an agent are the calls below it, however deep, those of nested agents included."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    start = tracer.start_as_current_span
    with start("agent", attributes=agent), start("node"):
        tracer.start_span("chat", attributes=chat).end()
        with start("tool", attributes=tool), start("inner", attributes=agent) as inner:
            tracer.start_span("chat", attributes=chat).end()
            inner.set_status(StatusCode.ERROR)
    labels = 'gen_ai_agent_name="a"'
    assert {labels: (2, 4)} == rig.totals("agent_run_steps")
    assert {
        f'agent_runs_total{{{labels},agent_outcome="error"}}': 1.0,
        f'agent_runs_total{{{labels},agent_outcome="success"}}': 1.0,
    } == rig.samples("agent_runs_total")
    assert {'gen_ai_tool_name="t"': (1, 0)} == rig.totals("gen_ai_execute_tool_duration_seconds")
    assert [("error", 1), ("info", 3)] == [
        (level, fields["agent.run.steps"])
        for name, level, fields in rig.events
        if name == "agent.run"
    ]


def test_calls_below_requests_leave_nothing_behind(rig: Rig) -> None:
    """What is remembered of open spans goes with the request that they belong to."""
    tracer = rig.recorder.tracer_provider.get_tracer("framework")
    derived = Derived(rig.metrics)
    rig.recorder.add_end_hook(derived, "second")
    for _ in range(3):
        with (
            tracer.start_as_current_span("GET /", kind=SpanKind.SERVER, attributes=HTTP),
            tracer.start_as_current_span("node"),
        ):
            tracer.start_span("chat", attributes=CALL).end()
    assert {} == derived._genai.pending


def test_cached_tokens_beside_the_input_are_taken_in(rig: Rig) -> None:
    """Some count cached tokens beside the input, which the conventions count inside."""
    emit(
        rig,
        SpanKind.CLIENT,
        {
            **CALL,
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.cache_read_input_tokens": 1000,
        },
    )
    assert 1010 == input_tokens(rig)
    assert [pytest.approx((10 * 3 + 1000 * 0.3 + 3 * 15) / 1e6)] == list(
        rig.samples("llm_cost_usd_total").values()
    )


def test_newer_names_are_emitted_beside_the_others_on_opt_in() -> None:
    """The opt-in adds the metrics of the newer conventions, with the same numbers."""
    attributes = {
        **CALL,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.response.time_to_first_chunk": 0.25,
    }
    with attached() as rig:
        emit(rig, SpanKind.CLIENT, attributes)
        assert {} == rig.samples("gen_ai_client_inference")
    with attached(genai_latest=True) as rig:
        with agent_run("a"):
            emit(rig, SpanKind.CLIENT, attributes)
        counts = {
            series.partition("{")[0].removeprefix("gen_ai_client_inference_usage_"): value
            for series, value in rig.samples("gen_ai_client_inference_usage").items()
        }
        assert {
            "input_tokens_total": 10.0,
            "output_tokens_total": 3.0,
            "cache_read_input_tokens_total": 4.0,
            "reasoning_output_tokens_total": 2.0,
        } == counts
        durations = [
            list(rig.totals(f"gen_ai_client_{name}").values())
            for name in (
                "inference_duration_seconds",
                "operation_duration_seconds",
                "inference_operation_input_tokens",
                "inference_time_to_first_chunk_seconds",
            )
        ]
        assert [[(1, 0.5)], [(1, 0.5)], [(1, 10)], [(1, 0.25)]] == durations
        assert [[(1, 1)], [(1, 0)]] == [
            list(rig.totals(f"gen_ai_invoke_agent_{name}").values())
            for name in ("inference_calls", "tool_calls")
        ]


def test_other_libraries_calls_add_to_our_runs(rig: Rig) -> None:
    """A model call of another library inside `agent_run` is one of its steps."""
    with agent_run("a") as run:
        emit(rig, SpanKind.CLIENT, dict(CALL))
    assert (1, 10, 3) == (run.steps, run.input_tokens, run.output_tokens)
    assert all('gen_ai_agent_name="a"' in series for series in rig.samples("llm_cost_usd_total"))


def test_metrics_are_exact_when_nothing_is_sampled() -> None:
    """Sampling drops traces and exemplars, never counts."""
    for ratio, exemplars in ((0.0, 0), (1.0, 1)):
        with attached(ratio=ratio) as rig:
            emit(rig, SpanKind.SERVER, dict(HTTP))
            assert [(1, 0.5)] == list(rig.totals("http_server_request_duration_seconds").values())
            text = rig.metrics.exposition(openmetrics=True).decode()
            assert exemplars == text.count("trace_id=")


def test_spans_of_no_known_meaning_change_nothing(rig: Rig) -> None:
    """Internal spans, messaging and RPC spans leave every metric alone."""
    before = rig.samples()
    emit(rig, SpanKind.INTERNAL, {})
    emit(rig, SpanKind.SERVER, {"rpc.system": "grpc"})
    emit(rig, SpanKind.CONSUMER, {"messaging.system": "kafka"})
    emit(rig, SpanKind.CLIENT, {"rpc.system": "grpc"})
    emit(rig, SpanKind.INTERNAL, {"gen_ai.operation.name": "create_agent"})
    assert before == rig.samples()


def test_requests_that_were_sent_are_counted(rig: Rig) -> None:
    """A client span gives its server, status and error; an invented method is `_OTHER`."""
    where = {"server.address": "api.example", "server.port": 443}
    emit(rig, SpanKind.CLIENT, {**where, "http.request.method": "BREW", "error.type": "x.Y"})
    emit(
        rig,
        SpanKind.CLIENT,
        {**where, "http.request.method": "GET", "http.response.status_code": 200},
    )
    place = 'server_address="api.example",server_port="443"'
    assert {
        f'http_request_method="_OTHER",{place},error_type="x.Y"',
        f'http_request_method="GET",{place},http_response_status_code="200"',
    } == set(rig.totals("http_client_request_duration_seconds"))
