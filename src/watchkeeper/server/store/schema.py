"""The tables of each kind of segment, as SQL. Documented in ``docs/reference/store-format.md``."""

__all__ = ["FORMAT_VERSION", "LOGS", "METRICS", "SPANS", "STATE"]

FORMAT_VERSION = 1
"""Written into every file's ``about`` table; a file of a higher version is refused."""

_ABOUT = """
CREATE TABLE IF NOT EXISTS about (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS batches (digest BLOB NOT NULL, committed_ns BIGINT NOT NULL);
"""

SPANS = (
    _ABOUT
    + """
CREATE TABLE IF NOT EXISTS spans (
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_span_id BLOB,
    trace_state VARCHAR NOT NULL,
    flags UINTEGER NOT NULL,
    name VARCHAR NOT NULL,
    kind UTINYINT NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    status_code UTINYINT NOT NULL,
    status_message VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    attributes VARCHAR NOT NULL,
    events VARCHAR NOT NULL,
    links VARCHAR NOT NULL,
    dropped VARCHAR NOT NULL,
    resource VARCHAR NOT NULL,
    scope VARCHAR NOT NULL
);
"""
)

LOGS = (
    _ABOUT
    + """
CREATE TABLE IF NOT EXISTS logs (
    time_ns BIGINT NOT NULL,
    observed_ns BIGINT NOT NULL,
    severity_number UTINYINT NOT NULL,
    severity_text VARCHAR NOT NULL,
    body VARCHAR NOT NULL,
    body_json BOOLEAN NOT NULL,
    trace_id BLOB,
    span_id BLOB,
    flags UINTEGER NOT NULL,
    event_name VARCHAR NOT NULL,
    service VARCHAR NOT NULL,
    attributes VARCHAR NOT NULL,
    dropped UINTEGER NOT NULL,
    resource VARCHAR NOT NULL,
    scope VARCHAR NOT NULL
);
"""
)

METRICS = (
    _ABOUT
    + """
CREATE TABLE IF NOT EXISTS series (series_id BIGINT NOT NULL, labels VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS samples (
    series_id BIGINT NOT NULL,
    t_ms BIGINT NOT NULL,
    value DOUBLE -- NULL is the staleness marker: DuckDB does not keep the payload of every NaN
);
CREATE TABLE IF NOT EXISTS exemplars (
    series_id BIGINT NOT NULL,
    t_ms BIGINT NOT NULL,
    value DOUBLE NOT NULL,
    labels VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS families (
    name VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    help VARCHAR NOT NULL,
    unit VARCHAR NOT NULL
);
"""
)

STATE = (
    _ABOUT
    + """
CREATE TABLE IF NOT EXISTS alert_states (
    rule_group VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    annotations VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    active_at_ms BIGINT NOT NULL,
    fired_at_ms BIGINT,
    resolved_at_ms BIGINT,
    last_eval_ms BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS notifications (
    id VARCHAR NOT NULL,
    dedup_key VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    annotations VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    receiver VARCHAR NOT NULL,
    created_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_ms BIGINT,
    sent_ms BIGINT,
    outcome VARCHAR NOT NULL,
    answer VARCHAR NOT NULL
);
ALTER TABLE notifications ADD COLUMN IF NOT EXISTS group_key VARCHAR DEFAULT '';
ALTER TABLE notifications ADD COLUMN IF NOT EXISTS integration VARCHAR DEFAULT '';
ALTER TABLE notifications ADD COLUMN IF NOT EXISTS reason VARCHAR DEFAULT '';
ALTER TABLE notifications ADD COLUMN IF NOT EXISTS alerts INTEGER DEFAULT 1;
CREATE TABLE IF NOT EXISTS alert_inbox (
    batch VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    labels VARCHAR NOT NULL,
    annotations VARCHAR NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT,
    updated_ms BIGINT NOT NULL,
    lapses BOOLEAN NOT NULL,
    value DOUBLE,
    generator_url VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS alerts (
    fingerprint VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    annotations VARCHAR NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT,
    updated_ms BIGINT NOT NULL,
    lapses BOOLEAN NOT NULL,
    value DOUBLE,
    generator_url VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS silences (
    id VARCHAR NOT NULL,
    matchers VARCHAR NOT NULL,
    starts_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    created_by VARCHAR NOT NULL,
    comment VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS notification_log (
    group_key VARCHAR NOT NULL,
    receiver VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    place INTEGER NOT NULL,
    firing VARCHAR NOT NULL,
    resolved VARCHAR NOT NULL,
    at_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    thread VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS incidents (
    id VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    group_key VARCHAR NOT NULL,
    receiver VARCHAR NOT NULL,
    group_labels VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    opened_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    alerts VARCHAR NOT NULL,
    truncated BIGINT NOT NULL,
    external_url VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,
    run INTEGER NOT NULL,
    round INTEGER NOT NULL,
    step INTEGER NOT NULL,
    wait VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    acknowledged_ms BIGINT,
    resolved_ms BIGINT,
    resolved_by VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS incident_events (
    incident_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    at_ms BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    via VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    data VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS incident_pages (
    key VARCHAR NOT NULL,
    incident_id VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    receiver VARCHAR NOT NULL,
    outlet VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    why VARCHAR NOT NULL,
    created_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_ms BIGINT NOT NULL,
    sent_ms BIGINT,
    outcome VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    thread VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS escalation_timers (
    incident_id VARCHAR NOT NULL,
    wait VARCHAR NOT NULL,
    due_ms BIGINT NOT NULL
);
"""
)
