"""Every limit: its name, default, and the reason under which refusals are counted.

A room reads the default from here and offers a setting or argument to change it.
"""

from watchkeeper.vocabulary.model import Limit

__all__ = ["LIMITS", "limit"]

_TABLE: tuple[Limit, ...] = (
    # in the application
    Limit("span_queue_items_max", 20_000, "spans",
          "Ended spans waiting to be encoded; the newest are dropped.", "queue_full"),
    Limit("log_queue_items_max", 20_000, "records",
          "Log records waiting to be encoded; the newest are dropped.", "queue_full"),
    Limit("span_attributes_max", 128, "attributes",
          "Attributes of a span; further ones are dropped and counted on the span.", "attribute_count"),
    Limit("span_events_max", 128, "events", "Events of a span; as above.", "event_count"),
    Limit("span_links_max", 128, "links", "Links of a span; as above.", "link_count"),
    Limit("attribute_value_chars_max", 16_384, "characters",
          "Length of a text attribute; the rest is cut off.", "attribute_length"),
    Limit("batch_items_max", 1_000, "items", "Spans or records in one export request.", "batch"),
    Limit("attribute_depth_max", 16, "levels",
          "Nesting of an attribute's value; what lies deeper becomes short text.", "attribute_depth"),
    Limit("attribute_items_max", 1_000, "items",
          "Items of one sequence or mapping in an attribute; further ones are cut off.",
          "attribute_items"),
    Limit("batch_bytes_max", 4 * 1024 * 1024, "bytes",
          "Encoded size at which an export request is closed and the next one begins.", "batch"),
    Limit("backlog_bytes_max", 32 * 1024 * 1024, "bytes",
          "Encoded batches in memory while there is no spool; the oldest are dropped.",
          "backlog_full"),
    Limit("export_response_bytes_max", 4 * 1024 * 1024, "bytes",
          "Response to an export that is read; the connection is closed past it.", "response"),
    Limit("export_retry_after_s_max", 120, "seconds",
          "Wait that an endpoint can ask for; longer ones are cut to this.", "retry_after"),
    Limit("spool_bytes_max", 256 * 1024 * 1024, "bytes",
          "Encoded batches on disk; the oldest are dropped.", "spool_full"),
    Limit("log_line_bytes_max", 262_144, "bytes",
          "Length of a log line; long values are cut with a marker.", "line_length"),
    Limit("metric_series_max", 2_000, "series",
          "Series of one metric in one process; more fold into an overflow series.", "series"),
    Limit("scrape_connections_max", 8, "connections",
          "Open connections to the side listener for metrics; answered 503.", "scrape_connections"),
    Limit("sql_statements_max", 1_000, "statements",
          "Statements whose description is kept per engine; then the store starts again.",
          "statement_cache"),
    Limit("content_chars_max", 8_192, "characters",
          "Captured prompt or response text; the rest is cut off.", "content_length"),
    Limit("active_users_max", 1_000_000, "users",
          "Distinct users that are counted per service, host and day; further ones are not.",
          "active_users"),
    Limit("agent_loop_repeats", 5, "calls",
          "Calls of one tool with the same arguments in one run that count as a loop.", "loop"),
    Limit("agent_calls_kept_max", 1_000, "calls",
          "Different tool calls that a run remembers to find loops; further ones are not looked at.",
          "loop"),
    Limit("health_checks_max", 100, "checks", "Health checks of one process; further ones are refused.",
          "health_checks"),
    Limit("price_models_max", 1_000, "models",
          "Models whose price is kept at hand; then the store starts again.", "price_cache"),
    # in the server
    Limit("request_body_bytes_max", 16 * 1024 * 1024, "bytes",
          "Request body after decompression; answered 413.", "body_too_large"),
    Limit("form_bytes_max", 1024 * 1024, "bytes",
          "Request body of a query; answered 413.", "body_too_large"),
    Limit("ingest_queue_bytes_max", 128 * 1024 * 1024, "bytes",
          "Decoded telemetry waiting for a commit; answered 503 with Retry-After.", "overload"),
    Limit("nesting_depth_max", 100, "levels",
          "Depth of nested values in a body; answered 400.", "nesting"),
    Limit("scrape_body_bytes_max", 32 * 1024 * 1024, "bytes",
          "Body of one scrape; the scrape fails.", "body_too_large"),
    Limit("scrape_samples_max", 100_000, "samples",
          "Samples of one scrape; the scrape fails.", "sample_limit"),
    Limit("label_count_max", 64, "labels", "Labels of one series; the scrape fails.", "label_limit"),
    Limit("label_value_chars_max", 2_048, "characters",
          "Length of a label value; the scrape fails.", "label_length"),
    Limit("series_max", 500_000, "series",
          "Series in the index; samples of new ones are refused.", "series_limit"),
    Limit("head_samples_max", 8_000_000, "samples",
          "Samples that are also kept in memory; beyond it queries reach the disk sooner.",
          "head_samples"),
    Limit("disk_free_bytes_min", 64 * 1024 * 1024, "bytes",
          "Free space on the disk below which nothing is taken in; answered 503.", "disk_full"),
    Limit("query_text_bytes_max", 16_384, "bytes", "Text of a query; answered 400.", "query_too_long"),
    Limit("query_nesting_max", 250, "levels", "Nesting of a query; answered 400.", "query_nesting"),
    Limit("query_points_max", 11_000, "points",
          "Points per series of a range query; answered 400.", "query_points"),
    Limit("query_samples_max", 50_000_000, "samples",
          "Samples that one query may load; answered 422.", "query_samples"),
    Limit("query_timeout_s_max", 30, "seconds", "Time of one query; answered 503.", "query_timeout"),
    Limit("query_concurrency_max", 20, "queries",
          "Queries at once; more wait, and are answered 503 after the timeout.", "query_concurrency"),
    Limit("search_traces_max", 10_000, "traces", "Traces that one search returns.", "search_limit"),
    Limit("log_lines_max", 5_000, "lines", "Lines that one log query returns.", "line_limit"),
    Limit("trace_spans_max", 100_000, "spans",
          "Spans of one trace that are returned; the answer says how many were left out.", "trace_size"),
    Limit("rule_file_bytes_max", 4 * 1024 * 1024, "bytes", "Size of a rule file.", "rule_file"),
    Limit("rule_file_nodes_max", 200_000, "values",
          "Values in a rule file, aliases counted where they are used; the file is refused.", "rule_file"),
    Limit("rules_max", 5_000, "rules", "Rules in one file; the file is refused.", "rule_file"),
    Limit("rule_alerts_max", 10_000, "alerts",
          "Alerts of one rule; beyond it the evaluation fails and the state is kept.", "rule_alerts"),
    Limit("template_chars_max", 16_384, "characters",
          "Expanded label or annotation; the rest is cut off.", "template"),
    Limit("template_steps_max", 10_000, "steps",
          "Steps of one template's expansion; the text then says that it failed.", "template"),
    Limit("notification_attempts_max", 20, "attempts",
          "Attempts to deliver one notification; it is then recorded as failed.", "attempts"),
)  # fmt: skip

LIMITS: dict[str, Limit] = {entry.name: entry for entry in _TABLE}


def limit(name: str) -> int:
    """Return the default of the limit called *name*.

    Raises:
        KeyError: No limit has that name.
    """
    return LIMITS[name].default
