"""The overview: requests, health, resources, database, jobs and telemetry itself."""

from __future__ import annotations

from watchkeeper.define.expr import (
    JOB,
    OR_ZERO,
    count,
    legend,
    quantile,
    rate,
    series,
    share,
    total,
    where,
)
from watchkeeper.define.model import Dashboard, Panel, Query, Row, Threshold, Unit, Variable

__all__ = ["OVERVIEW"]

_HTTP = "http.server.request.duration"
_SERVER_ERROR = where("http.response.status_code", "=~", "5..")
_POOL = "db.client.connection.pool.name"
_OUT, _SERVER = "http.client.request.duration", ("server.address", "server.port")

_NOW = Row(
    "Right now",
    "Is everything all right at this moment?",
    (
        Panel(
            "instances-up", "Instances up",
            "Processes whose metrics could be read at the last scrape.",
            Unit.COUNT, (Query(f"sum(up{{{JOB}}})", "up", instant=True),),
            kind="stat", width=2, decimals=0, thresholds=(),
        ),
        Panel(
            "alerts-firing", "Alerts firing",
            "Alerts that somebody is being told about. 0 is what you want to see.",
            Unit.COUNT,
            (
                Query(
                    'count(ALERTS{alertstate="firing",severity=~"page|ticket"}) or vector(0)',
                    "firing", instant=True,
                ),
            ),
            kind="stat", width=2, decimals=0, thresholds=(Threshold(1, "critical"),),
        ),
        Panel(
            "requests-now", "Requests per second", "HTTP requests answered per second.",
            Unit.REQUESTS_PER_S, (Query(count(_HTTP, JOB), "requests", instant=True),),
            kind="stat", width=2,
        ),
        Panel(
            "errors-now", "Failed requests",
            "Share of requests that ended in a server error (status 500 to 599).",
            Unit.RATIO,
            (
                Query(
                    share(count(_HTTP, JOB, _SERVER_ERROR), count(_HTTP, JOB)), "5xx", instant=True
                ),
            ),
            kind="stat", width=2,
            thresholds=(Threshold(0.01, "warning"), Threshold(0.05, "critical")),
        ),
        Panel(
            "latency-now", "Slow requests (p95)",
            "19 of 20 requests are answered faster than this.",
            Unit.SECONDS, (Query(quantile(0.95, _HTTP, JOB), "p95", instant=True),),
            kind="stat", width=2,
            thresholds=(Threshold(1, "warning"), Threshold(2, "critical")),
        ),
        Panel(
            "queue-now", "Jobs waiting", "Background jobs that wait in all queues together.",
            Unit.COUNT,
            (
                Query(
                    total(total(series("job.queue.depth", JOB), by=("job", "job.queue"), op="max")),
                    "waiting", instant=True,
                ),
            ),
            kind="stat", width=2, decimals=0,
            thresholds=(Threshold(500, "warning"), Threshold(1000, "critical")),
        ),
    ),
)  # fmt: skip

_REQUESTS = Row(
    "Requests",
    "Are users served, and how fast?",
    (
        Panel(
            "request-rate", "Requests by route",
            "HTTP requests per second for each route. A sudden drop is as telling as a peak.",
            Unit.REQUESTS_PER_S,
            (Query(count(_HTTP, JOB, by=("http.route",)), legend("http.route")),),
            stacked=True,
        ),
        Panel(
            "error-ratio", "Failed requests by route",
            "Share of each route's requests that ended in a server error.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(_HTTP, JOB, _SERVER_ERROR, by=("http.route",)),
                        count(_HTTP, JOB, by=("http.route",)),
                    ),
                    legend("http.route"),
                ),
            ),
            thresholds=(Threshold(0.01, "warning"), Threshold(0.05, "critical")),
        ),
        Panel(
            "latency", "Time to answer",
            "p50 is the middle request, p95 and p99 the slow ones. Dots lead to example traces.",
            Unit.SECONDS,
            tuple(
                Query(quantile(q, _HTTP, JOB), name)
                for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            thresholds=(Threshold(1, "warning"), Threshold(2, "critical")),
        ),
        Panel(
            "latency-by-route", "Slow requests by route (p95)",
            "Which route makes users wait: 95 % of its requests are faster than this.",
            Unit.SECONDS,
            (Query(quantile(0.95, _HTTP, JOB, by=("http.route",)), legend("http.route")),),
            thresholds=(Threshold(1, "warning"), Threshold(2, "critical")),
        ),
        Panel(
            "requests-by-status", "Answers by status",
            "Requests per second by HTTP status code.",
            Unit.REQUESTS_PER_S,
            (
                Query(
                    count(_HTTP, JOB, by=("http.response.status_code",)),
                    legend("http.response.status_code"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "in-flight", "Requests in flight",
            "Requests being worked on. A line that only climbs means that something hangs.",
            Unit.COUNT,
            (Query(total(series("http.server.active_requests", JOB), by=("job",)), legend("job")),),
        ),
    ),
)  # fmt: skip

_RESOURCES = Row(
    "Processes",
    "Do the processes have the CPU, memory and time they need?",
    (
        Panel(
            "cpu", "CPU", "Share of one CPU core that each process uses; 100 % is a whole core.",
            Unit.RATIO,
            (
                Query(
                    rate(series("process.cpu.time", JOB), by=("job", "instance")),
                    legend("job", "instance"),
                ),
            ),
        ),
        Panel(
            "memory", "Memory",
            "Resident memory of each process. A steady climb over hours is a leak.",
            Unit.BYTES,
            (
                Query(
                    total(series("process.memory.usage", JOB), by=("job", "instance")),
                    legend("job", "instance"),
                ),
            ),
        ),
        Panel(
            "event-loop-lag", "Event-loop lag",
            "How long the event loop was blocked at worst. Above 0.1 s every request waits for it.",
            Unit.SECONDS,
            (
                Query(
                    total(series("event_loop.lag", JOB), by=("job", "instance"), op="max"),
                    legend("job", "instance"),
                ),
            ),
            thresholds=(Threshold(0.1, "warning"), Threshold(0.5, "critical")),
        ),
        Panel(
            "uptime", "Uptime",
            "Time since each process started. A saw-tooth means that it keeps restarting.",
            Unit.SECONDS,
            (
                Query(
                    total(series("process.uptime", JOB), by=("job", "instance"), op="max"),
                    legend("job", "instance"),
                ),
            ),
        ),
        Panel(
            "disk", "Disks in use",
            "Share in use of the file systems of the working directory, of / and of the server's data. "
            "A full one stops writes.",
            Unit.RATIO,
            (
                Query(
                    total(
                        series("system.filesystem.utilization", JOB),
                        by=("instance", "system.filesystem.mountpoint"), op="max",
                    ),
                    legend("instance", "system.filesystem.mountpoint"),
                ),
                Query(
                    total(series("watchkeeper.server.disk.utilization"), by=("instance",), op="max"),
                    legend("instance") + " data directory",
                ),
            ),
            width=12, thresholds=(Threshold(0.8, "warning"), Threshold(0.95, "critical")),
        ),
    ),
)  # fmt: skip

_HEALTH = Row(
    "Health checks and other systems",
    "Is everything that the services depend on all right?",
    (
        Panel(
            "health-status", "Health checks",
            "1 while a check succeeds, 0 while it fails in any process.",
            Unit.COUNT,
            (
                Query(
                    total(
                        series("health.check.status", JOB), by=("job", "health.check.name"),
                        op="min",
                    ),
                    legend("job", "health.check.name"),
                ),
            ),
            decimals=0,
        ),
        Panel(
            "out-rate", "Requests to others", "HTTP requests per second that the services send.",
            Unit.REQUESTS_PER_S, (Query(count(_OUT, JOB, by=_SERVER), legend(*_SERVER)),),
            stacked=True,
        ),
        Panel(
            "out-failures", "Failed requests to others",
            "Share of the requests that were sent and got no answer or status 400 and above.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(_OUT, JOB, where("error.type", "!=", ""), by=_SERVER),
                        count(_OUT, JOB, by=_SERVER),
                    ),
                    legend(*_SERVER),
                ),
            ),
            thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
        ),
        Panel(
            "out-latency", "Time others take (p95)",
            "19 of 20 requests that were sent are answered faster than this.",
            Unit.SECONDS, (Query(quantile(0.95, _OUT, JOB, by=_SERVER), legend(*_SERVER)),),
        ),
    ),
)  # fmt: skip

_DATABASE = Row(
    "Database",
    "Is the database fast, and are there connections left?",
    (
        Panel(
            "db-latency", "Time per operation (p95)",
            "95 % of the statements on a table are faster than this.",
            Unit.SECONDS,
            (
                Query(
                    quantile(
                        0.95, "db.client.operation.duration", JOB,
                        by=("db.operation.name", "db.collection.name"),
                    ),
                    legend("db.operation.name", "db.collection.name"),
                ),
            ),
            thresholds=(Threshold(0.1, "warning"), Threshold(1, "critical")),
        ),
        Panel(
            "db-operations", "Operations",
            "Statements per second by operation. Many per request hint at a loop of queries.",
            Unit.OPS,
            (
                Query(
                    count("db.client.operation.duration", JOB, by=("db.operation.name",)),
                    legend("db.operation.name"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "db-pool", "Connections",
            "Connections of each pool in use and idle, and the most it may open.",
            Unit.COUNT,
            (
                Query(
                    total(
                        series("db.client.connection.count", JOB),
                        by=(_POOL, "db.client.connection.state"),
                    ),
                    legend(_POOL, "db.client.connection.state"),
                ),
                Query(
                    total(series("db.client.connection.max", JOB), by=(_POOL,)),
                    legend(_POOL) + " max",
                ),
            ),
        ),
        Panel(
            "db-pool-wait", "Wait for a connection (p95)",
            "Time that requests wait until the pool gives them a connection.",
            Unit.SECONDS,
            (
                Query(
                    quantile(0.95, "db.client.connection.wait_time", JOB, by=(_POOL,)),
                    legend(_POOL),
                ),
            ),
            thresholds=(Threshold(0.1, "warning"), Threshold(1, "critical")),
        ),
        Panel(
            "db-pool-refused", "Connections not obtained",
            "Waits per second that timed out, and connections that could not be opened.",
            Unit.OPS,
            (
                Query(
                    rate(series("db.client.connection.timeouts", JOB), by=(_POOL,))
                    + OR_ZERO,
                    legend(_POOL) + " timed out",
                ),
                Query(
                    rate(series("connection_pool.create_failures", JOB), by=(_POOL,))
                    + OR_ZERO,
                    legend(_POOL) + " refused",
                ),
            ),
            width=12, thresholds=(Threshold(0.001, "warning"),),
        ),
    ),
)  # fmt: skip

_JOBS = Row(
    "Background work",
    "Does background work keep up?",
    (
        Panel(
            "queue-depth", "Jobs waiting by queue",
            "A queue that grows for long needs more workers, or has a poisoned job.",
            Unit.COUNT,
            (
                Query(
                    total(series("job.queue.depth", JOB), by=("job.queue",), op="max"),
                    legend("job.queue"),
                ),
            ),
            width=4, thresholds=(Threshold(500, "warning"), Threshold(1000, "critical")),
        ),
        Panel(
            "job-rate", "Jobs run", "Attempts per second for each job.",
            Unit.OPS,
            (Query(count("job.run.duration", JOB, by=("job.name",)), legend("job.name")),),
            width=4, stacked=True,
        ),
        Panel(
            "job-failures", "Failed jobs",
            "Share of each job's attempts that failed or had to be tried again.",
            Unit.RATIO,
            (
                Query(
                    share(
                        count(
                            "job.run.duration", JOB, where("job.outcome", "!=", "success"),
                            by=("job.name",),
                        ),
                        count("job.run.duration", JOB, by=("job.name",)),
                    ),
                    legend("job.name"),
                ),
            ),
            width=4, thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
        ),
    ),
)  # fmt: skip

_TELEMETRY = Row(
    "Telemetry",
    "Can these charts be trusted?",
    (
        Panel(
            "telemetry-dropped", "Telemetry lost",
            "Spans and log records that were dropped, by reason. Anything above 0 leaves holes.",
            Unit.OPS,
            (
                Query(
                    rate(series("watchkeeper.telemetry.dropped", JOB), by=("signal", "reason"))
                    + OR_ZERO,
                    legend("signal", "reason"),
                ),
            ),
            thresholds=(Threshold(0.001, "warning"),),
        ),
        Panel(
            "telemetry-rate", "Spans and log records",
            "Telemetry that the applications create per second.",
            Unit.OPS,
            (
                Query(rate(series("otel.sdk.span.started", JOB)), "spans"),
                Query(rate(series("otel.sdk.log.created", JOB)), "log records"),
            ),
        ),
        Panel(
            "left-out", "Left out on purpose",
            "Spans that sampling left out and lines that were held back, per second, by reason.",
            Unit.OPS,
            (
                Query(
                    rate(series("watchkeeper.telemetry.sampled_out", JOB), by=("reason",))
                    + OR_ZERO,
                    "spans " + legend("reason"),
                ),
                Query(
                    rate(series("watchkeeper.logs.suppressed", JOB), by=("reason",))
                    + OR_ZERO,
                    "lines " + legend("reason"),
                ),
            ),
            stacked=True,
        ),
        Panel(
            "redactions", "Secrets masked",
            "Secrets per second that never left the process, by kind. A rise: somebody logs them.",
            Unit.OPS,
            (
                Query(
                    rate(series("watchkeeper.redactions", JOB), by=("redaction.kind",))
                    + OR_ZERO,
                    legend("redaction.kind"),
                ),
            ),
            stacked=True,
        ),
    ),
)  # fmt: skip

OVERVIEW = Dashboard(
    uid="overview",
    title="Overview",
    description="Requests, processes, database and background work of every service.",
    rows=(_NOW, _REQUESTS, _HEALTH, _RESOURCES, _DATABASE, _JOBS, _TELEMETRY),
    variables=(Variable("job", "Service", "label_values(up, job)"),),
)
