"""Every attribute that watchkeeper puts on a span, a log event or a metric."""

from watchkeeper.vocabulary.model import Attribute, Origin

__all__ = ["ATTRIBUTES", "ATTRIBUTE_BY_NAME"]

_GENAI = Origin.SEMCONV_GENAI
_OWN = Origin.OWN

ATTRIBUTES: tuple[Attribute, ...] = (
    # HTTP
    Attribute("http.request.method", "str", "HTTP method, `_OTHER` if unknown."),
    Attribute("http.route", "str", "Route template that matched; absent if none did."),
    Attribute("http.response.status_code", "int", "HTTP status code of the response."),
    Attribute("http.request.body.size", "int", "Size of the request body in bytes."),
    Attribute("http.response.body.size", "int", "Size of the response body in bytes."),
    Attribute("url.scheme", "str", "`http` or `https`."),
    Attribute("url.path", "str", "Path of the request's URL."),
    Attribute("url.full", "str", "URL without user information, sensitive values masked."),
    Attribute("url.query", "str", "Query string, with sensitive values masked."),
    Attribute("server.address", "str", "Host that the client asked for."),
    Attribute("server.port", "int", "Port that the client asked for."),
    Attribute("client.address", "str", "Address of the client."),
    Attribute("user_agent.original", "str", "The `User-Agent` header."),
    Attribute("network.protocol.version", "str", "Version of HTTP: `1.1` or `2`."),
    Attribute("http.request.resend_count", "int", "How often the request was sent again."),
    Attribute("error.type", "str", "Class of the error; absent when the operation succeeded."),
    # exceptions
    Attribute("exception.type", "str", "Qualified class name of an exception."),
    Attribute("exception.message", "str", "Text of an exception."),
    Attribute("exception.stacktrace", "str", "Traceback of an exception."),
    # database
    Attribute("db.system.name", "str", "Database product, `sqlite` or `postgresql` for example."),
    Attribute("db.namespace", "str", "Name of the database."),
    Attribute("db.operation.name", "str", "Operation of the statement: `SELECT`, `INSERT`."),
    Attribute("db.collection.name", "str", "Table that the statement acts on."),
    Attribute("db.query.text", "str", "Statement, with literals replaced by `?`."),
    Attribute("db.query.summary", "str", "Operation and target: `SELECT users`."),
    Attribute("db.operation.batch.size", "int", "Statements or commands in one batch."),
    Attribute("query.slow", "bool", "Whether the statement took `slow_query_s` or longer.", _OWN),
    Attribute("query.duration_s", "float", "Seconds that a statement took.", _OWN),
    Attribute("db.response.returned_rows", "int", "Rows that the statement returned."),
    Attribute("db.client.connection.pool.name", "str", "Name of a connection pool."),
    Attribute(
        "db.client.connection.state", "str", "State of a pooled connection.",
        values=("idle", "used"),
    ),
    # generative AI
    Attribute("gen_ai.operation.name", "str", "`chat`, `embeddings`, `invoke_agent`, …", _GENAI),
    Attribute("gen_ai.provider.name", "str", "Provider, `openai` or `anthropic` for example.", _GENAI),
    Attribute("gen_ai.request.model", "str", "Model that was asked for.", _GENAI),
    Attribute("gen_ai.request.max_tokens", "int", "Limit on generated tokens.", _GENAI),
    Attribute("gen_ai.request.temperature", "float", "Sampling temperature.", _GENAI),
    Attribute("gen_ai.request.stream", "bool", "Whether the answer was streamed.", _GENAI),
    Attribute("gen_ai.response.model", "str", "Model that answered.", _GENAI),
    Attribute("gen_ai.response.id", "str", "The provider's id of the answer.", _GENAI),
    Attribute("gen_ai.response.finish_reasons", "str[]", "Why generation stopped.", _GENAI),
    Attribute("gen_ai.response.time_to_first_chunk", "float", "Seconds to the first chunk.", _GENAI),
    Attribute("gen_ai.usage.input_tokens", "int", "Input tokens, cached ones included.", _GENAI),
    Attribute("gen_ai.usage.output_tokens", "int", "Output tokens, reasoning included.", _GENAI),
    Attribute("gen_ai.usage.cache_read.input_tokens", "int", "Input tokens read from a cache.", _GENAI),
    Attribute(
        "gen_ai.usage.cache_creation.input_tokens", "int", "Input tokens written to a cache.", _GENAI
    ),
    Attribute("gen_ai.usage.reasoning.output_tokens", "int", "Output tokens of reasoning.", _GENAI),
    Attribute(
        "gen_ai.token.type", "str", "Direction of tokens.", _GENAI, values=("input", "output")
    ),
    Attribute("gen_ai.agent.name", "str", "Name of the agent.", _GENAI),
    Attribute("gen_ai.agent.id", "str", "Id of the agent.", _GENAI),
    Attribute("gen_ai.conversation.id", "str", "Conversation that a run belongs to.", _GENAI),
    Attribute("gen_ai.tool.name", "str", "Name of the tool.", _GENAI),
    Attribute("gen_ai.tool.call.id", "str", "The provider's id of the tool call.", _GENAI),
    Attribute("gen_ai.input.messages", "str", "Prompt as JSON; only on opt-in.", _GENAI),
    Attribute("gen_ai.output.messages", "str", "Response as JSON; only on opt-in.", _GENAI),
    Attribute(
        "llm.token.detail", "str", "What is special about tokens.", _OWN,
        values=("cache_read", "cache_creation", "reasoning"),
    ),
    Attribute("llm.tool_calls", "int", "Tools that an answer asks to be called.", _OWN),
    Attribute(
        "agent.outcome", "str", "How a run ended.", _OWN, values=("success", "error", "cancelled")
    ),
    Attribute("agent.loop.repeats", "int", "Calls of one tool with the same arguments.", _OWN),
    Attribute("agent.run.steps", "int", "LLM and tool calls of an agent run.", _OWN),
    Attribute("llm.cost_usd", "float", "Price of a call, or of a run's calls, in US dollars.", _OWN),
    # jobs, pipelines, authentication: no convention exists
    Attribute("job.name", "str", "Name of a background job.", _OWN),
    Attribute("job.queue", "str", "Queue that a job waits in.", _OWN),
    Attribute("job.id", "str", "Id of one job.", _OWN),
    Attribute("job.attempt", "int", "Number of the attempt, from 1.", _OWN),
    Attribute(
        "job.outcome", "str", "How a job ended.", _OWN,
        values=("success", "error", "retry", "dead"),
    ),
    Attribute("job.wait_s", "float", "Seconds from enqueueing to start.", _OWN),
    Attribute("job.dead_reason", "str", "Why a job was given up for good.", _OWN),
    Attribute("job.due_time", "str", "When a run was due, ISO 8601 in UTC.", _OWN),
    Attribute("job.missed", "int", "Scheduled runs that did not happen.", _OWN),
    Attribute("pipeline.name", "str", "Name of an ingestion pipeline.", _OWN),
    Attribute("pipeline.stage", "str", "Stage of a pipeline.", _OWN),
    Attribute("pipeline.outcome", "str", "What became of items.", _OWN, values=("accepted", "rejected")),
    Attribute("pipeline.items_in", "int", "Items that a stage was given.", _OWN),
    Attribute("pipeline.items_out", "int", "Items that a stage passed on.", _OWN),
    Attribute("pipeline.items_rejected", "int", "Items that a stage rejected.", _OWN),
    Attribute(
        "pipeline.reject_reasons", "str[]", "Why items were rejected, `reason=count`.", _OWN
    ),
    Attribute("auth.method", "str", "Way of signing in: `password`, `oauth`, `token`.", _OWN),
    Attribute("auth.provider", "str", "Identity provider, `local` for our own passwords.", _OWN),
    Attribute("auth.action", "str", "`login`, `register`, `logout`, `refresh`.", _OWN),
    Attribute(
        "oauth.grant_type", "str", "How a token was asked for.", _OWN,
        values=(
            "authorization_code", "client_credentials", "password", "refresh_token", "other",
        ),
    ),
    Attribute("auth.outcome", "str", "Result of the attempt.", _OWN, values=("success", "failure")),
    Attribute("auth.reason", "str", "Why an attempt failed: `bad_password`, `locked`.", _OWN),
    Attribute("day", "str", "A day in UTC: `2026-11-25`.", _OWN),
    Attribute("duration_s", "float", "How long it took, in seconds.", _OWN),
    Attribute("health.check.name", "str", "Name of a health check.", _OWN),
    Attribute(
        "health.check.outcome", "str", "What a health check found.", _OWN,
        values=("healthy", "unhealthy"),
    ),
    Attribute("health.check.reason", "str", "Why a health check failed.", _OWN),
    Attribute("user.id", "str", "Id of the user."),
    Attribute("tenant.id", "str", "Id of the customer that the work is done for.", _OWN),
    Attribute("request.id", "str", "Id of the request, from `X-Request-ID` or made by us.", _OWN),
    # process and our own pipeline
    Attribute("cpu.mode", "str", "CPU mode: `user` or `system`."),
    Attribute("cpython.gc.generation", "int", "Generation of the garbage collector."),
    Attribute(
        "process.context_switch.type", "str", "Whether the process gave the CPU up itself.",
        values=("voluntary", "involuntary"),
    ),
    Attribute("system.filesystem.mountpoint", "str", "Where a file system is mounted."),
    Attribute("otel.component.type", "str", "Kind of a telemetry component."),
    Attribute("signal", "str", "`traces`, `logs`, `metrics`, `users`.", _OWN),
    Attribute("reason", "str", "Why something was refused or dropped.", _OWN),
    Attribute("redaction.kind", "str", "Kind of a secret that was masked.", _OWN),
    Attribute("hook", "str", "Place in watchkeeper where an error was swallowed.", _OWN),
    Attribute("version", "str", "A version number.", _OWN),
    Attribute("python", "str", "Version of Python.", _OWN),
    Attribute("endpoint", "str", "Route of the embedded server's API.", _OWN),
    Attribute("code", "str", "Status code of a response, as text.", _OWN),
    Attribute("receiver", "str", "Name of a notification receiver.", _OWN),
    Attribute("outcome", "str", "`success` or `error`.", _OWN),
    Attribute("incident.state", "str", "Where an incident stands.", _OWN,
              values=("triggered", "acknowledged")),
    Attribute("rule_group", "str", "Name of a rule group.", _OWN),
    # logs
    Attribute("log.record.uid", "str", "Unique id of a log record."),
    Attribute("log.suppressed.event", "str", "Event whose lines were held back.", _OWN),
    Attribute("log.suppressed.lines", "int", "Lines of the same event that were held back before.", _OWN),
    Attribute("log.sample_rate", "float", "Share of the lines of this event that is kept.", _OWN),
    Attribute("log.levels.source", "str", "What changed the levels of loggers.", _OWN,
              values=("endpoint", "file", "signal", "expiry")),
    Attribute("log.levels.changed", "str[]", "Levels in force that differ from those at the start, `logger=level`; `*` is every other logger.", _OWN),
    # resource
    Attribute("service.name", "str", "Name of the service."),
    Attribute("service.namespace", "str", "Group of services."),
    Attribute("service.version", "str", "Version of the service."),
    Attribute("service.instance.id", "str", "Id of the process's life."),
    Attribute("deployment.environment.name", "str", "`production`, `staging`, …"),
    Attribute("host.name", "str", "Name of the host.", _OWN),
    Attribute("process.pid", "int", "Id of the process."),
    Attribute("telemetry.sdk.name", "str", "Name of the recorder: `watchkeeper`.", _OWN),
    Attribute("telemetry.sdk.language", "str", "`python`.", _OWN),
    Attribute("telemetry.sdk.version", "str", "Version of the recorder.", _OWN),
)  # fmt: skip

ATTRIBUTE_BY_NAME: dict[str, Attribute] = {attribute.name: attribute for attribute in ATTRIBUTES}
