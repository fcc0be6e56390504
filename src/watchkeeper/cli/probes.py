"""What `watchkeeper doctor` asks over HTTP: the endpoint, and the metrics of a running application."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from watchkeeper.cli.checks import Finding
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.settings import Settings
from watchkeeper.instrument.settings.targets import SIGNALS, Target, target

__all__ = ["check_endpoint", "check_metrics", "check_targets", "judge"]

_TIMEOUT_S = 3.0
_SKEW_S = 5.0
_BODY_MAX = 32 * 1024 * 1024

Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]
"""Samples by name on the wire: labels and value of each."""


def check_targets(settings: Settings) -> list[Finding]:
    """Each place where spans or log records go takes them."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for signal in SIGNALS:
        try:
            where = target(settings, signal)
        except SettingError as error:
            return [Finding("bad", str(error), "watchkeeper config show")]
        if where is None:
            continue
        base = where.url.removesuffix(f"/v1/{signal}")
        if (where.protocol, base) in found:
            continue
        if where.protocol == "grpc":
            found[where.protocol, base] = _reached(base)
            continue
        path = "" if base == where.url else f"/v1/{signal}"
        found[where.protocol, base] = check_endpoint(
            base, dict(where.headers), path=path, tls=_tls(where)
        )
    return [finding for findings in found.values() for finding in findings]


def _tls(where: Target) -> ssl.SSLContext | None:
    try:
        context = ssl.create_default_context(cafile=where.certificate or None)
        if where.client_certificate:
            context.load_cert_chain(where.client_certificate, where.client_key or None)
    except OSError:
        # The exporter explains it at its start; here the endpoint refuses.
        return None
    return context


def _reached(url: str) -> list[Finding]:
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 4317)
    try:
        socket.create_connection(address, _TIMEOUT_S).close()
    except OSError as error:
        fix = "start your collector, or set WATCHKEEPER_ENDPOINT to where it listens for gRPC"
        return [Finding("bad", f"endpoint {url} does not answer ({error})", fix)]
    return [Finding("ok", f"endpoint {url} accepts connections (gRPC, not tried further)")]


def check_endpoint(
    url: str,
    headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    *,
    path: str = "/v1/traces",
    tls: ssl.SSLContext | None = None,
) -> list[Finding]:
    """The endpoint takes OTLP: it is sent one empty request, which the specification allows.

    Args:
        url: Base URL of OTLP/HTTP.
        headers: Headers of exports, credentials among them; never shown.
        clock: Compared with the endpoint's.
        path: What of OTLP/HTTP is asked for below the URL; "" if the URL is whole.
        tls: How an ``https`` endpoint is checked; default as the system does.
    """
    parts = urlsplit(url)
    whole, url = f"{url.rstrip('/')}{path}", url.partition("?")[0]  # behind it may be a key
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [Finding("bad", f"endpoint {url!r} is not a URL", "use http://host:port")]
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        whole,
        data=b"",
        headers={**(headers or {}), "Content-Type": "application/x-protobuf"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(  # noqa: S310 - as above
            request, timeout=_TIMEOUT_S, context=tls
        ) as answer:
            found = [Finding("ok", f"endpoint {url} takes OTLP")]
            return found + _skew(answer.headers.get("Date"), clock or SystemClock())
    except urllib.error.HTTPError as error:
        return [_refused(url, error.code, path)]
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        fix = "start it with 'watchkeeper serve', or set WATCHKEEPER_ENDPOINT to your collector"
        return [Finding("bad", f"endpoint {url} does not answer ({reason})", fix)]


def _refused(url: str, status: int, path: str) -> Finding:
    if status in (401, 403):
        text = f"endpoint {url} refuses the credentials (HTTP {status})"
        return Finding("bad", text, "set WATCHKEEPER_HEADERS, for example authorization=Bearer …")
    if status in (404, 405):
        text = f"endpoint {url} has no {path or 'such page'} (HTTP {status}): this is not OTLP/HTTP"
        return Finding("bad", text, "use the OTLP/HTTP port (4318, or 8400 of watchkeeper serve)")
    if status in (429, 502, 503, 504):
        text = f"endpoint {url} is overloaded (HTTP {status}); telemetry waits in the spool"
        return Finding("warn", text, "look at the endpoint; nothing is lost up to spool_bytes_max")
    return Finding("bad", f"endpoint {url} answers HTTP {status}", "look at the endpoint's log")


def _skew(date: str | None, clock: Clock) -> list[Finding]:
    if not date:
        return []
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return []
    skew = clock.now_ns() / 1e9 - theirs
    if abs(skew) <= _SKEW_S:
        return []
    text = f"this host's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the endpoint's"
    return [Finding("warn", text, "set both clocks by NTP; queries by time miss what is elsewhere")]


def check_metrics(url: str, token: str = "") -> list[Finding]:
    """A running application's own counts show no misconfiguration.

    Args:
        url: Its metrics page.
        token: Bearer token of the page, or "".
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if urlsplit(url).scheme not in ("http", "https"):
        return [Finding("bad", f"{url!r} is not a URL", "use http://host:port/metrics")]
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            page = answer.read(_BODY_MAX).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        fix = (
            "pass --metrics-token" if error.code in (401, 403) else "check the setting metrics_path"
        )
        return [Finding("bad", f"{url} answers HTTP {error.code}", fix)]
    except (OSError, http.client.HTTPException) as error:
        fix = "start the application, or correct the address"
        return [Finding("bad", f"{url} does not answer ({getattr(error, 'reason', error)})", fix)]
    return judge(_samples(page))


def _samples(page: str) -> Samples:
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def judge(samples: Samples) -> list[Finding]:
    """Return what an application's metrics say about its instrumentation.

    Args:
        samples: Samples of its page, by name on the wire.
    """
    if "watchkeeper_build_info" not in samples:
        text = "the page is not watchkeeper's: the application is not instrumented"
        fix = "call watchkeeper.configure() in it, or start it with 'watchkeeper run --'"
        return [Finding("bad", text, fix)]
    found = [finding for rule in _RULES for finding in rule(samples)]
    return found or [Finding("ok", "the application's own counts show nothing wrong")]


def _hook_errors(samples: Samples) -> list[Finding]:
    return [
        Finding(
            "bad",
            f"the hook {labels.get('hook', '')} failed {count:.0f} times",
            "look for 'watchkeeper: the hook' in the application's log; please report it",
        )
        for labels, count in samples.get("watchkeeper_hook_errors_total", ())
        if count
    ]


_REMEDIES = {
    "queue_full": "raise span_queue_items_max or log_queue_items_max, or lower sample_ratio",
    "spool_full": "bring the endpoint back, or raise spool_bytes_max",
    "backlog_full": "set spool_dir to a writable directory: telemetry waits in memory only",
    "refused": "look at the log for the endpoint's answer; check address, credentials and limits",
    "rejected": "look at the endpoint's log: it left items out of requests that it took",
    "shutdown": "end the process by SIGTERM and give it time; it delivers within 5 s",
    "stream_closed": "the standard output is closed: set log_file",
}


def _dropped(samples: Samples) -> list[Finding]:
    return [
        Finding(
            "warn",
            f"{count:.0f} {labels.get('signal', 'items')} were lost: {reason}",
            _REMEDIES.get(reason, "see docs/reference/telemetry.md, limits"),
        )
        for labels, count in samples.get("watchkeeper_telemetry_dropped_total", ())
        if count and (reason := labels.get("reason", ""))
    ]


def _overflow(samples: Samples) -> list[Finding]:
    families = sorted(
        {
            name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            for name, rows in samples.items()
            for labels, _ in rows
            if labels.get("otel_metric_overflow") == "true"
        }
    )
    return [
        Finding(
            "warn",
            f"{name} has too many series; the rest is folded into one",
            "find the label with unbounded values (an id in a name?), or raise metric_series_max",
        )
        for name in families
    ]


def _pools(samples: Samples) -> list[Finding]:
    if "db_client_operation_duration_seconds_count" not in samples:
        return []
    if "db_client_connection_count" in samples:
        return []
    text = "database operations are seen, but no connection pool"
    fix = "use SQLAlchemy's QueuePool, psycopg_pool or asyncpg.create_pool, which are observed"
    return [Finding("warn", text, fix)]


def _health_checks_counted(samples: Samples) -> list[Finding]:
    rows = samples.get("http_server_request_duration_seconds_count", ())
    total = sum(value for _, value in rows)
    probes = sum(
        value
        for labels, value in rows
        if labels.get("http_route", "")
        .rstrip("/")
        .endswith(("health", "healthz", "livez", "readyz"))
    )
    if total < 100 or probes <= total / 2:
        return []
    text = f"{probes / total:.0%} of the requests are health checks: averages describe them"
    fix = 'leave them out of queries: http_route!~".*(health|livez|readyz).*"'
    return [Finding("warn", text, fix)]


def _loop(samples: Samples) -> list[Finding]:
    worst = max((value for _, value in samples.get("event_loop_lag_seconds", ())), default=0.0)
    if worst < 0.25:
        return []
    text = f"the event loop was blocked for {worst:.2f} s"
    return [Finding("warn", text, "move blocking calls to asyncio.to_thread or a def endpoint")]


def _unpriced(samples: Samples) -> list[Finding]:
    return [
        Finding(
            "warn",
            f"{count:.0f} calls of {labels.get('gen_ai_request_model', '?')} have no known price",
            "upgrade genai-prices, or give the model's price in the settings",
        )
        for labels, count in samples.get("llm_unknown_price_total", ())
        if count
    ]


def _unsent(samples: Samples) -> list[Finding]:
    waiting = sum(value for _, value in samples.get("watchkeeper_spool_size_bytes", ()))
    if waiting <= 0:
        return []
    text = f"{waiting / 1e6:.1f} MB wait on disk: the endpoint does not take telemetry"
    return [Finding("warn", text, "watchkeeper doctor --endpoint URL says what it answers")]


_RULES: tuple[Callable[[Samples], list[Finding]], ...] = (
    _hook_errors,
    _dropped,
    _overflow,
    _pools,
    _health_checks_counted,
    _loop,
    _unpriced,
    _unsent,
)
