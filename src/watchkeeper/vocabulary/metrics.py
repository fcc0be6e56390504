"""Every metric that watchkeeper emits."""

from watchkeeper.vocabulary.model import Kind, Merge, Metric, Origin

__all__ = ["METRICS", "METRIC_BY_NAME", "METRIC_BY_SERIES"]

_HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_DB_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_LLM_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_AGENT_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_TOKENS = tuple(float(4**power) for power in range(14))
_JOB_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_BYTES = (100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_STEPS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0)
_QUERY_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_C, _U, _G, _H = Kind.COUNTER, Kind.UPDOWN, Kind.GAUGE, Kind.HISTOGRAM
_GENAI, _OWN = Origin.SEMCONV_GENAI, Origin.OWN
_MAX, _MIN, _MAX_EVER = Merge.MAX, Merge.MIN, Merge.MAX_EVER
_LLM_LABELS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")

_APPLICATION: tuple[Metric, ...] = (
    # HTTP
    Metric(
        "http.server.request.duration", _H, "s", "Duration of HTTP requests, by route and status.",
        ("http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"),
        _HTTP_S,
    ),
    Metric(
        "http.server.active_requests", _U, "{request}", "HTTP requests being served.",
        ("http.request.method", "url.scheme"), stability="development",
    ),
    Metric(
        "http.server.response.body.size", _H, "By", "Size of HTTP response bodies.",
        ("http.request.method", "http.route", "http.response.status_code", "url.scheme"), _BYTES,
        stability="development",
    ),
    Metric(
        "http.server.request.body.size", _H, "By", "Size of HTTP request bodies.",
        ("http.request.method", "http.route", "http.response.status_code", "url.scheme"), _BYTES,
        stability="development",
    ),
    Metric(
        "http.client.request.duration", _H, "s",
        "Duration of HTTP requests that were sent, by server and status.",
        (
            "http.request.method", "server.address", "server.port", "http.response.status_code",
            "error.type",
        ),
        _HTTP_S, series_max=500,
    ),
    # database
    Metric(
        "db.client.operation.duration", _H, "s", "Duration of database operations.",
        ("db.system.name", "db.operation.name", "db.collection.name", "error.type"), _DB_S,
    ),
    Metric(
        "db.client.connection.count", _U, "{connection}", "Connections of a pool, by state.",
        ("db.client.connection.pool.name", "db.client.connection.state"), stability="development",
    ),
    Metric(
        "db.client.connection.max", _U, "{connection}", "Most connections that a pool may open.",
        ("db.client.connection.pool.name",), stability="development",
    ),
    Metric(
        "db.client.connection.timeouts", _C, "{timeout}", "Waits for a connection that timed out.",
        ("db.client.connection.pool.name",), stability="development",
    ),
    Metric(
        "db.client.connection.pending_requests", _U, "{request}",
        "Requests that wait for a connection now.",
        ("db.client.connection.pool.name",), stability="development",
    ),
    Metric(
        "db.client.connection.use_time", _H, "s", "Time that a connection was borrowed.",
        ("db.client.connection.pool.name",), _DB_S, stability="development",
    ),
    Metric(
        "db.client.connection.wait_time", _H, "s", "Time to obtain a connection from a pool.",
        ("db.client.connection.pool.name",), _DB_S, stability="development",
    ),
    Metric(
        "connection_pool.create_failures", _C, "{failure}",
        "Connections of a pool that could not be opened.",
        ("db.client.connection.pool.name",), (), _OWN, "development",
    ),
    # generative AI
    Metric(
        "gen_ai.client.token.usage", _H, "{token}", "Tokens per LLM call, by direction.",
        (*_LLM_LABELS, "gen_ai.token.type"), _TOKENS, _GENAI, "development",
    ),
    Metric(
        "gen_ai.client.operation.duration", _H, "s", "Duration of LLM calls.",
        (*_LLM_LABELS, "error.type"), _LLM_S, _GENAI, "development",
    ),
    Metric(
        "gen_ai.client.operation.time_to_first_chunk", _H, "s",
        "Time to the first chunk of streamed LLM answers.",
        _LLM_LABELS, _LLM_S, _GENAI, "development",
    ),
    Metric(
        "gen_ai.invoke_agent.duration", _H, "s", "Duration of agent runs.",
        ("gen_ai.agent.name", "error.type"), _AGENT_S, _GENAI, "development",
    ),
    Metric(
        "gen_ai.execute_tool.duration", _H, "s", "Duration of tool calls.",
        ("gen_ai.tool.name", "error.type"), _LLM_S, _GENAI, "development",
    ),
    Metric(
        "agent.run.steps", _H, "{step}", "LLM and tool calls per agent run.",
        ("gen_ai.agent.name",), _STEPS, _OWN, "development",
    ),
    Metric(
        "llm.cost", _C, "USD", "Price of LLM calls in US dollars.",
        ("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.agent.name", "tenant.id"), (), _OWN,
        "development",
    ),
    Metric(
        "llm.unknown_price", _C, "{call}", "LLM calls whose model has no known price.",
        ("gen_ai.provider.name", "gen_ai.request.model"), (), _OWN, "development",
    ),
    Metric(
        "llm.token_details", _C, "{token}",
        "Tokens that need a closer look; each is also part of `gen_ai.client.token.usage`.",
        ("gen_ai.provider.name", "gen_ai.request.model", "llm.token.detail"), (), _OWN,
        "development",
    ),
    Metric(
        "llm.retries", _C, "{retry}", "Requests that a provider's client sent again, by cause.",
        ("gen_ai.provider.name", "gen_ai.request.model", "error.type"), (), _OWN, "development",
    ),
    Metric(
        "llm.rate_limits", _C, "{response}",
        "Answers 429 of LLM providers, those that were retried included.",
        ("gen_ai.provider.name", "gen_ai.request.model"), (), _OWN, "development",
    ),
    Metric(
        "llm.streams_abandoned", _C, "{stream}",
        "Streamed answers that were not read to their end.",
        ("gen_ai.provider.name", "gen_ai.request.model"), (), _OWN, "development",
    ),
    Metric(
        "agent.runs", _C, "{run}", "Agent runs, by outcome.",
        ("gen_ai.agent.name", "agent.outcome"), (), _OWN, "development",
    ),
    Metric(
        "agent.loops", _C, "{loop}",
        "Tools that a run called again and again with the same arguments.",
        ("gen_ai.agent.name", "gen_ai.tool.name"), (), _OWN, "development",
    ),
    # generative AI, the names that replace those above; only on opt-in
    Metric(
        "gen_ai.client.inference.duration", _H, "s", "Duration of LLM calls, embeddings excepted.",
        (*_LLM_LABELS, "error.type"), _LLM_S, _GENAI, "development",
    ),
    Metric(
        "gen_ai.client.inference.time_to_first_chunk", _H, "s",
        "Time to the first chunk of streamed LLM answers.",
        _LLM_LABELS, _LLM_S, _GENAI, "development",
    ),
    Metric(
        "gen_ai.client.inference.operation.input_tokens", _H, "{token}",
        "Input tokens per LLM call.", _LLM_LABELS, _TOKENS, _GENAI, "development",
    ),
    Metric(
        "gen_ai.client.inference.operation.output_tokens", _H, "{token}",
        "Output tokens per LLM call.", _LLM_LABELS, _TOKENS, _GENAI, "development",
    ),
    *(
        Metric(
            f"gen_ai.client.inference.usage.{kind}", _C, "{token}", brief, _LLM_LABELS, (), _GENAI,
            "development",
        )
        for kind, brief in (
            ("input_tokens", "Input tokens, cached ones included."),
            ("output_tokens", "Output tokens, reasoning included."),
            ("cache_read.input_tokens", "Input tokens read from a cache."),
            ("cache_write.input_tokens", "Input tokens written to a cache."),
            ("reasoning.output_tokens", "Output tokens of reasoning."),
        )
    ),
    Metric(
        "gen_ai.invoke_agent.inference_calls", _H, "{call}", "LLM calls per agent run.",
        ("gen_ai.agent.name",), _STEPS, _GENAI, "development",
    ),
    Metric(
        "gen_ai.invoke_agent.tool_calls", _H, "{call}", "Tool calls per agent run.",
        ("gen_ai.agent.name",), _STEPS, _GENAI, "development",
    ),
    # ingestion
    Metric(
        "pipeline.stage.duration", _H, "s", "Duration of pipeline stages.",
        ("pipeline.name", "pipeline.stage", "error.type"), _JOB_S, _OWN, "development",
    ),
    Metric(
        "pipeline.items", _C, "{item}", "Items that passed a stage or were rejected by it.",
        ("pipeline.name", "pipeline.stage", "pipeline.outcome"), (), _OWN, "development",
    ),
    Metric(
        "pipeline.run.duration", _H, "s", "Duration of whole pipeline runs.",
        ("pipeline.name", "error.type"), _JOB_S, _OWN, "development",
    ),
    Metric(
        "pipeline.last_success.time", _G, "s", "Unix time of a pipeline's last successful run.",
        ("pipeline.name",), (), _OWN, "development", merge=_MAX_EVER,
    ),
    Metric(
        "pipeline.rejects", _C, "{item}", "Items that a stage rejected, by reason.",
        ("pipeline.name", "pipeline.stage", "reason"), (), _OWN, "development",
    ),
    Metric(
        "pipeline.watermark.time", _G, "s", "Unix time of the newest item that a pipeline took in.",
        ("pipeline.name",), (), _OWN, "development", merge=_MAX_EVER,
    ),
    Metric(
        "pipeline.backlog", _G, "{item}", "Items that wait for a pipeline.",
        ("pipeline.name",), (), _OWN, "development", merge=_MAX,
    ),
    # jobs
    Metric(
        "job.run.duration", _H, "s", "Run time of background jobs.",
        ("job.name", "job.queue", "job.outcome"), _JOB_S, _OWN, "development",
    ),
    Metric(
        "job.wait.duration", _H, "s", "Time that background jobs waited in their queue.",
        ("job.name", "job.queue"), _JOB_S, _OWN, "development",
    ),
    Metric(
        "job.queue.depth", _G, "{job}", "Background jobs waiting in a queue.",
        ("job.queue",), (), _OWN, "development", merge=_MAX,
    ),
    Metric(
        "job.retries", _C, "{attempt}", "Attempts at a job that ended in a retry.",
        ("job.name", "job.queue"), (), _OWN, "development",
    ),
    Metric(
        "job.dead_letters", _C, "{job}", "Jobs that were given up for good, by reason.",
        ("job.name", "job.queue", "reason"), (), _OWN, "development",
    ),
    Metric(
        "job.missed_runs", _C, "{run}", "Scheduled runs that did not happen, by reason.",
        ("job.name", "reason"), (), _OWN, "development",
    ),
    Metric(
        "job.overlapping_runs", _C, "{run}",
        "Scheduled runs that began while the one before was still going.",
        ("job.name",), (), _OWN, "development",
    ),
    Metric(
        "job.last_success.time", _G, "s", "Unix time of a job's last success.",
        ("job.name",), (), _OWN, "development", merge=_MAX_EVER,
    ),
    Metric(
        "job.schedule.interval", _G, "s", "Time between two scheduled runs of a job.",
        ("job.name",), (), _OWN, "development", merge=_MAX,
    ),
    # authentication
    Metric(
        "auth.attempts", _C, "{attempt}", "Authentication attempts, by method and outcome.",
        ("auth.action", "auth.method", "auth.provider", "auth.outcome", "auth.reason"), (), _OWN,
        "development",
    ),
    # users
    Metric(
        "users.registered", _C, "{user}", "Users who registered.",
        ("auth.method", "auth.provider"), (), _OWN, "development",
    ),
    Metric(
        "users.active", _G, "{user}",
        "Distinct users of a day (UTC) on this host: today's so far, and yesterday's. "
        "Every process of a service shows the same number, and numbers of several hosts do not add up.",
        ("day",), (), _OWN, "development", merge=_MAX,
    ),
    # health checks
    Metric(
        "health.check.status", _G, "", "1 while a health check succeeds, 0 while it fails.",
        ("health.check.name",), (), _OWN, "development", merge=_MIN,
    ),
    Metric(
        "health.check.duration", _G, "s", "Duration of a health check's last run.",
        ("health.check.name",), (), _OWN, "development", merge=_MAX,
    ),
    Metric(
        "health.check.last_success.time", _G, "s", "Unix time of a health check's last success.",
        ("health.check.name",), (), _OWN, "development", merge=_MAX_EVER,
    ),
    # process
    Metric(
        "process.cpu.time", _C, "s", "CPU time of the process.", ("cpu.mode",),
        stability="development",
    ),
    Metric(
        "process.memory.usage", _U, "By", "Resident memory of the process.",
        stability="development",
    ),
    Metric("process.thread.count", _U, "{thread}", "Threads of the process.", stability="development"),
    Metric(
        "process.unix.file_descriptor.count", _U, "{file_descriptor}",
        "Open file descriptors of the process.", stability="development",
    ),
    Metric(
        "process.context_switches", _C, "{context_switch}", "Context switches of the process.",
        ("process.context_switch.type",), stability="development",
    ),
    Metric(
        "process.uptime", _G, "s", "Time since the process started.", stability="development",
        merge=_MAX,
    ),
    Metric(
        "system.filesystem.utilization", _G, "1",
        "Share in use of the file systems that hold `/` and the working directory.",
        ("system.filesystem.mountpoint",), stability="development", merge=_MAX,
    ),
    Metric(
        "cpython.gc.collections", _C, "{collection}", "Runs of the garbage collector.",
        ("cpython.gc.generation",), stability="development",
    ),
    Metric(
        "cpython.gc.collected_objects", _C, "{object}", "Objects that the garbage collector freed.",
        ("cpython.gc.generation",), stability="development",
    ),
    Metric(
        "cpython.gc.uncollectable_objects", _C, "{object}",
        "Objects that the garbage collector found and could not free.",
        ("cpython.gc.generation",), stability="development",
    ),
    Metric(
        "python.gc.pause", _C, "s", "Time that the program stood still for the garbage collector.",
        ("cpython.gc.generation",), (), _OWN, "development",
    ),
    Metric(
        "event_loop.lag", _G, "s", "Delay of the event loop, the worst of the last interval.",
        (), (), _OWN, "development", merge=_MAX,
    ),
    Metric(
        "watchkeeper.build.info", _G, "", "Always 1; versions as labels.",
        ("version", "python"), (), _OWN, merge=_MAX,
    ),
    Metric(
        "target.info", _G, "",
        "Always 1; the resource as labels, as OpenTelemetry's compatibility with Prometheus has it.",
        ("service.name", "service.version", "deployment.environment.name"), (), _OWN, merge=_MAX,
    ),
    Metric(
        "watchkeeper.metrics.processes", _U, "{process}",
        "Processes whose metrics are on this page.", (), (), _OWN,
    ),
    # our own pipeline in the application
    Metric(
        "otel.sdk.span.started", _C, "{span}", "Spans started.", stability="development",
    ),
    Metric(
        "otel.sdk.processor.span.processed", _C, "{span}",
        "Spans whose processing ended, in success or error.", ("error.type",),
        stability="development",
    ),
    Metric(
        "otel.sdk.exporter.span.exported", _C, "{span}",
        "Spans whose export ended, in success or error.", ("error.type",), stability="development",
    ),
    Metric(
        "otel.sdk.processor.span.queue.size", _U, "{span}", "Spans waiting in memory.",
        stability="development",
    ),
    Metric("otel.sdk.log.created", _C, "{log_record}", "Log records created.", stability="development"),
    Metric(
        "otel.sdk.exporter.log.exported", _C, "{log_record}",
        "Log records whose export ended, in success or error.", ("error.type",),
        stability="development",
    ),
    Metric(
        "otel.sdk.processor.log.queue.size", _U, "{log_record}", "Log records waiting in memory.",
        stability="development",
    ),
    Metric(
        "watchkeeper.telemetry.dropped", _C, "{item}", "Telemetry that was lost, by reason.",
        ("signal", "reason"), (), _OWN,
    ),
    Metric(
        "watchkeeper.telemetry.truncated", _C, "{item}",
        "What went out cut to a limit, by reason: attributes, labels, log lines, content, and tool calls "
        "that were not looked at for loops.",
        ("reason",), (), _OWN,
    ),
    Metric(
        "watchkeeper.context.refused", _C, "{item}",
        "Trace context and baggage of headers that was malformed or beyond a limit.",
        ("reason",), (), _OWN,
    ),
    Metric(
        "watchkeeper.logs.suppressed", _C, "{line}",
        "Log lines that were held back on purpose: `rate`, `repeat`, `sampled`.",
        ("reason",), (), _OWN,
    ),
    Metric(
        "watchkeeper.telemetry.sampled_out", _C, "{span}",
        "Spans that sampling left out as it was told to, by reason.", ("reason",), (), _OWN,
    ),
    Metric(
        "watchkeeper.sampling.kept", _C, "{trace}",
        "Traces that the ratio left out and the decision at their end kept, by reason.",
        ("reason",), (), _OWN,
    ),
    Metric(
        "watchkeeper.sampling.names_refused", _C, "{name}",
        "Routes, models and errors that were not remembered as seen, since there are too many.",
        (), (), _OWN,
    ),
    Metric(
        "watchkeeper.spool.size", _U, "By", "Telemetry waiting on disk for its endpoint.",
        (), (), _OWN,
    ),
    Metric(
        "watchkeeper.hook.errors", _C, "{error}", "Errors of our own that were kept from the host.",
        ("hook",), (), _OWN,
    ),
    Metric(
        "watchkeeper.redactions", _C, "{secret}", "Secrets masked in logs and spans, by kind.",
        ("redaction.kind",), (), _OWN,
    ),
    Metric(
        "watchkeeper.metric.overflow", _C, "{update}",
        "Updates folded into an overflow series.", ("reason",), (), _OWN,
    ),
)  # fmt: skip

_SERVER: tuple[Metric, ...] = tuple(
    Metric(
        name, kind, unit, brief, labels, buckets, _OWN, "development", emitter="server",
        merge=_MAX if kind is _G else Merge.SUM,
    )
    for name, kind, unit, brief, labels, buckets in (
        ("watchkeeper.server.requests", _C, "{request}", "Requests to the embedded server.",
         ("endpoint", "code"), ()),
        ("watchkeeper.server.request.duration", _H, "s", "Duration of requests to the server.",
         ("endpoint",), _QUERY_S),
        ("watchkeeper.server.ingested", _C, "{item}", "Items committed to the store.",
         ("signal",), ()),
        ("watchkeeper.server.refused", _C, "{item}", "Items or requests that were refused.",
         ("signal", "reason"), ()),
        ("watchkeeper.server.duplicate_batches", _C, "{batch}",
         "Batches that were sent again and had been stored already.", ("signal",), ()),
        ("watchkeeper.server.commit.duration", _H, "s", "Duration of a group commit.",
         ("signal",), _QUERY_S),
        ("watchkeeper.server.store.size", _U, "By", "Bytes on disk.", ("signal",), ()),
        ("watchkeeper.server.disk.utilization", _G, "1",
         "Share in use of the file system that holds the data directory.", (), ()),
        ("watchkeeper.server.series", _U, "{series}", "Series in the index.", (), ()),
        ("watchkeeper.server.scrape.failures", _C, "{scrape}", "Scrapes that failed.",
         ("reason",), ()),
        ("watchkeeper.server.rule.evaluations", _C, "{evaluation}", "Rule evaluations.",
         ("rule_group", "outcome"), ()),
        ("watchkeeper.server.rule.iterations_missed", _C, "{iteration}",
         "Evaluations of a rule group that were skipped because the last one ran late.",
         ("rule_group",), ()),
        ("watchkeeper.server.rule.files_refused", _U, "{file}",
         "Rule files that could not be loaded; the rules that they had stay in force.", (), ()),
        ("watchkeeper.server.rule.reload_time", _G, "s",
         "When every rule file was last loaded without an error, Unix time.", (), ()),
        ("watchkeeper.server.notifications", _C, "{notification}", "Notifications sent.",
         ("receiver", "outcome"), ()),
        ("watchkeeper.server.incidents", _U, "{incident}", "Incidents that are not resolved.",
         ("incident.state",), ()),
        ("watchkeeper.server.escalation.unreached", _C, "{target}",
         "Targets of escalation steps that reached nobody: a gap in a schedule, or no receiver.",
         (), ()),
        ("watchkeeper.server.memory", _U, "By", "Resident memory of the server.", (), ()),
        ("watchkeeper.server.uptime", _G, "s", "Time since the server started.", (), ()),
        ("watchkeeper.server.quarantined", _C, "{file}", "Damaged files set aside.", ("reason",), ()),
    )
)  # fmt: skip

METRICS: tuple[Metric, ...] = _APPLICATION + _SERVER
METRIC_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
METRIC_BY_SERIES: dict[str, Metric] = {
    series: metric for metric in METRICS for series in metric.series_names
}
