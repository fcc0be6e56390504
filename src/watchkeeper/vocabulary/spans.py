"""Every span that watchkeeper's own instrumentation emits."""

from watchkeeper.vocabulary.model import Origin, Span

__all__ = ["SPANS"]

_GENAI, _OWN = Origin.SEMCONV_GENAI, Origin.OWN

SPANS: tuple[Span, ...] = (
    Span(
        "http.server", "{http.request.method} {http.route}", "server", "One HTTP request.",
        (
            "http.request.method", "http.route", "http.response.status_code", "url.scheme",
            "url.path", "url.query", "server.address", "server.port", "client.address",
            "user_agent.original", "network.protocol.version", "error.type", "request.id",
            "http.response.body.size", "http.request.body.size",
        ),
    ),
    Span(
        "http.client", "{http.request.method}", "client", "One HTTP request that we sent.",
        (
            "http.request.method", "url.full", "server.address", "server.port",
            "http.response.status_code", "error.type",
        ),
    ),
    Span(
        "oauth.token", "oauth token {auth.provider}", "client",
        "One request for a token to an identity provider.",
        ("auth.provider", "oauth.grant_type", "server.address", "server.port", "error.type"), _OWN,
    ),
    Span(
        "db.client", "{db.query.summary}", "client", "One database statement.",
        (
            "db.system.name", "db.namespace", "db.operation.name", "db.collection.name",
            "db.query.text", "db.query.summary", "db.operation.batch.size", "server.address",
            "server.port", "query.slow", "error.type",
        ),
    ),
    Span(
        "gen_ai.client", "{gen_ai.operation.name} {gen_ai.request.model}", "client",
        "One call of an LLM.",
        (
            "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
            "gen_ai.request.max_tokens", "gen_ai.request.temperature", "gen_ai.request.stream",
            "gen_ai.response.model", "gen_ai.response.id", "gen_ai.response.finish_reasons",
            "gen_ai.response.time_to_first_chunk", "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.agent.name", "tenant.id",
            "llm.cost_usd", "llm.tool_calls", "http.request.resend_count", "error.type",
        ),
        _GENAI,
    ),
    Span(
        "gen_ai.invoke_agent", "invoke_agent {gen_ai.agent.name}", "internal",
        "One run of an agent.",
        (
            "gen_ai.operation.name", "gen_ai.agent.name", "gen_ai.agent.id",
            "gen_ai.conversation.id", "agent.outcome", "agent.run.steps", "llm.cost_usd", "tenant.id", "user.id",
            "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.input.messages",
            "gen_ai.output.messages", "error.type",
        ),
        _GENAI,
    ),
    Span(
        "gen_ai.execute_tool", "execute_tool {gen_ai.tool.name}", "internal", "One tool call.",
        (
            "gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.call.id",
            "gen_ai.agent.name", "error.type",
        ),
        _GENAI,
    ),
    Span(
        "pipeline.run", "pipeline {pipeline.name}", "internal", "One run of a pipeline.",
        ("pipeline.name", "error.type"), _OWN,
    ),
    Span(
        "pipeline.stage", "stage {pipeline.stage}", "internal", "One stage of a pipeline run.",
        (
            "pipeline.name", "pipeline.stage", "pipeline.items_in", "pipeline.items_out",
            "pipeline.items_rejected", "pipeline.reject_reasons", "error.type",
        ),
        _OWN,
    ),
    Span(
        "job.enqueue", "enqueue {job.name}", "producer", "A background job put into its queue.",
        ("job.name", "job.queue", "job.id"), _OWN,
    ),
    Span(
        "job.run", "job {job.name}", "consumer", "One attempt at a background job.",
        (
            "job.name", "job.queue", "job.id", "job.attempt", "job.outcome", "job.dead_reason",
            "job.wait_s", "user.id", "tenant.id", "request.id", "error.type",
        ),
        _OWN,
    ),
)  # fmt: skip
