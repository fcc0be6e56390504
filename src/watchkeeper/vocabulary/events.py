"""Every named log event that watchkeeper itself writes into the application's log."""

from watchkeeper.vocabulary.model import Event

__all__ = ["EVENTS"]

EVENTS: tuple[Event, ...] = (
    Event(
        "http.request", "info",
        "One line for each HTTP request; `warning` for 4xx and `error` for 5xx.",
        (
            "http.request.method", "http.route", "url.path", "http.response.status_code",
            "client.address", "error.type",
        ),
    ),
    Event(
        "agent.run", "info", "An agent run ended.",
        (
            "gen_ai.agent.name", "agent.run.steps", "llm.cost_usd", "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens", "error.type",
        ),
    ),
    Event(
        "llm.call", "info", "An LLM call ended.",
        (
            "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens", "llm.cost_usd", "error.type",
        ),
    ),
    Event(
        "pipeline.stage", "info", "A pipeline stage ended.",
        (
            "pipeline.name", "pipeline.stage", "pipeline.items_in", "pipeline.items_out",
            "pipeline.items_rejected", "error.type",
        ),
    ),
    Event(
        "job.run", "info", "An attempt at a background job ended.",
        ("job.name", "job.queue", "job.id", "job.attempt", "job.outcome", "error.type"),
    ),
    Event(
        "auth.attempt", "info", "Somebody tried to sign in; `warning` on failure.",
        ("auth.action", "auth.method", "auth.provider", "auth.outcome", "auth.reason", "user.id"),
    ),
)  # fmt: skip
