"""Every named log event that watchkeeper itself writes into the application's log."""

from watchkeeper.vocabulary.model import Event

__all__ = ["EVENTS"]

EVENTS: tuple[Event, ...] = (
    Event(
        "http.request", "info",
        "One line for each HTTP request; `warning` for 4xx and `error` for 5xx.",
        (
            "http.request.method", "http.route", "url.path", "http.response.status_code",
            "http.response.body.size", "client.address", "duration_s", "error.type",
        ),
    ),
    Event(
        "agent.run", "info", "An agent run ended.",
        (
            "gen_ai.agent.name", "gen_ai.conversation.id", "agent.outcome", "duration_s",
            "agent.run.steps", "llm.cost_usd", "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens", "user.id", "tenant.id", "gen_ai.input.messages",
            "gen_ai.output.messages", "error.type",
        ),
    ),
    Event(
        "llm.call", "info", "An LLM call ended.",
        (
            "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
            "gen_ai.response.model", "gen_ai.agent.name", "duration_s",
            "gen_ai.response.time_to_first_chunk", "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens", "llm.cost_usd",
            "llm.tool_calls", "http.request.resend_count", "gen_ai.input.messages",
            "gen_ai.output.messages", "error.type",
        ),
    ),
    Event(
        "agent.loop", "warning",
        "A run called one tool again and again with the same arguments; written once per run and tool.",
        ("gen_ai.agent.name", "gen_ai.tool.name", "agent.loop.repeats"),
    ),
    Event(
        "pipeline.stage", "info", "A pipeline stage ended.",
        (
            "pipeline.name", "pipeline.stage", "pipeline.items_in", "pipeline.items_out",
            "pipeline.items_rejected", "duration_s", "error.type",
        ),
    ),
    Event(
        "job.run", "info", "An attempt at a background job ended.",
        (
            "job.name", "job.queue", "job.id", "job.attempt", "job.outcome", "job.dead_reason",
            "job.wait_s", "duration_s", "error.type",
        ),
    ),
    Event(
        "job.dead_letter", "error", "A job was given up without another run.",
        ("job.name", "job.queue", "job.id", "job.dead_reason"),
    ),
    Event(
        "job.missed_run", "warning", "A scheduled run did not happen.",
        ("job.name", "job.due_time", "job.missed", "reason"),
    ),
    Event(
        "job.overlap", "warning", "A scheduled run began while the one before was still going.",
        ("job.name", "job.id"),
    ),
    Event(
        "db.slow_query", "warning", "A statement took `slow_query_s` or longer.",
        (
            "db.system.name", "db.namespace", "db.query.summary", "db.query.text",
            "query.duration_s", "error.type",
        ),
    ),
    Event(
        "auth.attempt", "info", "Somebody tried to sign in; `warning` on failure.",
        (
            "auth.action", "auth.method", "auth.provider", "auth.outcome", "auth.reason", "user.id",
            "tenant.id", "client.address", "duration_s",
        ),
    ),
    Event(
        "health.check", "info",
        "A health check changed its mind; `warning` when it begins to fail.",
        ("health.check.name", "health.check.outcome", "health.check.reason", "duration_s"),
    ),
    Event(
        "log.suppressed", "info",
        "A flood of lines is over; they were held back and no later line told of them. "
        "Has their logger and level.",
        ("log.suppressed.event", "log.suppressed.lines"),
    ),
    Event(
        "log.levels", "info", "The levels of loggers were changed at run time.",
        ("log.levels.source", "log.levels.changed"),
    ),
)  # fmt: skip
