"""Rules on database connections."""

from __future__ import annotations

from watchkeeper.define.counting import grew
from watchkeeper.define.expr import series, total, where
from watchkeeper.define.model import AlertRule

__all__ = ["db_connection_failures", "db_pool_saturated"]

_POOL = "db.client.connection.pool.name"


def db_connection_failures(window: str = "5m", for_: str = "1m", at_least: int = 5) -> AlertRule:
    """Return the alert on connections that could not be opened, or not be had in time.

    Args:
        window: In which they are counted, a Prometheus duration.
        for_: How long it must hold.
        at_least: Failures of one pool in *window*.
    """
    by = ("job", _POOL)
    refused = grew(series("connection_pool.create_failures"), window, by=by)
    late = grew(series("db.client.connection.timeouts"), window, by=by)
    return AlertRule(
        name="DbConnectionFailures",
        expr=f"{refused} >= {at_least}\nor {late} >= {at_least}",
        severity="page",
        for_=for_,
        summary=(
            "{{ $labels.job }} cannot get database connections: "
            "{{ $value | humanize }} failures of pool {{ $labels.db_client_connection_pool_name }}"
        ),
        description=(
            f"In the last {window}, {{{{ $value | humanize }}}} connections of pool "
            "{{ $labels.db_client_connection_pool_name }} of {{ $labels.job }} could not be opened, "
            "or were waited for in vain. Each is a request or job that failed."
        ),
        runbook="db-connection-failures.md",
        dashboard="overview#db-pool-refused",
    )


def db_pool_saturated(threshold: float = 0.9, for_: str = "5m") -> AlertRule:
    """Return the alert on a connection pool of which more than the share *threshold* is in use.

    A pool without a bound has the maximum 0, and is left out.
    """
    by = ("job", "instance", _POOL)
    used = total(
        series("db.client.connection.count", where("db.client.connection.state", "=", "used")),
        by=by,
    )
    most = total(series("db.client.connection.max"), by=by)
    return AlertRule(
        name="DbPoolSaturated",
        expr=f"{used} / ({most} > 0) > {threshold:g}",
        severity="page",
        for_=for_,
        summary=(
            "{{ $labels.job }} has almost no database connections left: "
            "{{ $value | humanizePercentage }} in use"
        ),
        description=(
            "{{ $value | humanizePercentage }} of the connections of pool "
            "{{ $labels.db_client_connection_pool_name }} on {{ $labels.instance }} are in use. "
            "Requests that need another one wait."
        ),
        runbook="db-pool-saturated.md",
        dashboard="overview#db-pool",
    )
