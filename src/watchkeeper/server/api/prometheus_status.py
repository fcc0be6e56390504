"""The parts of Prometheus' HTTP API that describe the server: rules, targets, status."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from watchkeeper.clock import Clock
from watchkeeper.errors import QueryParseError
from watchkeeper.server.api.prometheus_json import success
from watchkeeper.server.api.prometheus_params import Params
from watchkeeper.server.series import Labels
from watchkeeper.vocabulary.limits import limit

__all__ = [
    "alertmanagers",
    "alerts",
    "buildinfo",
    "flags",
    "own_version",
    "rules",
    "runtimeinfo",
    "targets",
    "tsdb",
]

_LEVEL = "3.4.0"
"""The Prometheus version whose HTTP API this is. Clients such as Grafana choose features by it."""
_NEVER = "0001-01-01T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(t_ms: int) -> str:
    shown = (_EPOCH + timedelta(milliseconds=t_ms)).isoformat(timespec="milliseconds")
    return shown.replace("+00:00", "Z")


def rules(groups: list[dict[str, Any]], params: Params) -> bytes:
    """Return rule groups, filtered by type, names and files.

    Raises:
        QueryParseError: The type is neither ``alert`` nor ``record``.
    """
    kind = params.get("type").lower()
    if kind not in {"", "alert", "record"}:
        raise QueryParseError(
            f'invalid parameter "type": got {kind[:100]!r}. Accepted: alert or record. '
            "Next: correct the parameter."
        )
    wanted = {"alert": "alerting", "record": "recording"}.get(kind)
    names, files = set(params.all("rule_name[]")), set(params.all("file[]"))
    group_names = set(params.all("rule_group[]"))
    bare = params.get("exclude_alerts").lower() in {"1", "true", "t"}
    found = []
    for group in groups:
        if (files and group.get("file") not in files) or (
            group_names and group.get("name") not in group_names
        ):
            continue
        kept = [
            {**rule, "alerts": []} if bare and "alerts" in rule else rule
            for rule in group.get("rules", [])
            if wanted in {None, rule.get("type")} and (not names or rule.get("name") in names)
        ]
        if kept or not (wanted or names):
            found.append({**group, "rules": kept})
    return success({"groups": found})


def alerts(groups: list[dict[str, Any]]) -> bytes:
    """Return every pending or firing alert."""
    found = [
        alert
        for group in groups
        for rule in group.get("rules", [])
        for alert in rule.get("alerts", [])
    ]
    return success({"alerts": found})


def targets(found: list[dict[str, Any]], params: Params) -> bytes:
    """Return the active targets; targets are never dropped here."""
    shown = []
    for target in found:
        known = dict(target)
        last_ms = known.pop("last_scrape_ms", 0)
        known.setdefault("lastScrape", _moment(last_ms) if last_ms else _NEVER)
        shown.append(known)
    if params.get("state").lower() == "dropped":
        shown = []
    return success({"activeTargets": shown, "droppedTargets": [], "droppedTargetCounts": {}})


def alertmanagers() -> bytes:
    """Return no Alertmanagers: notifications leave from this process."""
    return success({"activeAlertmanagers": [], "droppedAlertmanagers": []})


def own_version() -> str:
    """Return the version of watchkeeper, or ``unknown``."""
    try:
        return version("watchkeeper")
    except PackageNotFoundError:
        return "unknown"


def buildinfo() -> bytes:
    """Return the API's level, and our own version as the revision."""
    return success(
        {
            "version": _LEVEL,
            "revision": f"watchkeeper-{own_version()}",
            "branch": "watchkeeper",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }
    )


def flags(timeout_s: float) -> bytes:
    """Return the settings that clients look for."""
    return success(
        {
            "query.lookback-delta": "5m",
            "query.max-concurrency": str(limit("query_concurrency_max")),
            "query.max-samples": str(limit("query_samples_max")),
            "query.timeout": f"{timeout_s:g}s",
        }
    )


def runtimeinfo(started_ns: int, clock: Clock, *, loaded: bool, loaded_ms: int) -> bytes:
    """Return the process' present; fields that only Go has are empty.

    Args:
        started_ns: When the process started, Unix nanoseconds.
        clock: The present.
        loaded: Whether the last load of rules was good.
        loaded_ms: When a load was last good, Unix milliseconds; 0 for the start.
    """
    now, began = _moment(clock.now_ns() // 1_000_000), _moment(started_ns // 1_000_000)
    return success(
        {
            "startTime": began,
            "CWD": "",
            "hostname": socket.gethostname(),
            "serverTime": now,
            "reloadConfigSuccess": loaded,
            "lastConfigTime": _moment(loaded_ms) if loaded_ms else began,
            "corruptionCount": 0,
            "goroutineCount": threading.active_count(),
            "GOMAXPROCS": os.cpu_count() or 1,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": "",
        }
    )


def tsdb(series: list[Labels], most: int) -> bytes:
    """Return which names, labels and pairs have the most series."""
    names: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for labels in series:
        for name, value in labels:
            pairs[f"{name}={value}"] += 1
            values.setdefault(name, set()).add(value)
            if name == "__name__":
                names[value] += 1
    counts = Counter({name: len(found) for name, found in values.items()})
    sizes = Counter({name: sum(map(len, found)) for name, found in values.items()})

    def top(counter: Counter[str]) -> list[dict[str, Any]]:
        return [{"name": name, "value": count} for name, count in counter.most_common(most)]

    return success(
        {
            "headStats": {
                "numSeries": len(series),
                "numLabelPairs": len(pairs),
                "chunkCount": 0,
                "minTime": 0,
                "maxTime": 0,
            },
            "seriesCountByMetricName": top(names),
            "labelValueCountByLabelName": top(counts),
            "memoryInBytesByLabelName": top(sizes),
            "seriesCountByLabelValuePair": top(pairs),
        }
    )
