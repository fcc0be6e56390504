"""What redaction costs a log line, and what it finds: ours, one search per pattern, and two peers.

Each variant writes the same lines of JSON to /dev/null, once with and once without redaction; the
difference is what redaction adds. The peers are the scrubbers of Logfire and Sentry, called as the
processor of structlog that one would write around them; ``naive`` is what many write themselves. A
fresh process for each run, interleaved.

The corpus is that of the tests. It was written together with our rules, so it flatters us; the texts
of secrets are free texts, for which the two peers were not made: they go by names. The last two
columns are therefore about values under names. Prints a line for each variant, and as the last line
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import structlog

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.logs import get_logger, route
from watchkeeper.instrument.recorder import MemoryExporter
from watchkeeper.instrument.runtime import build
from watchkeeper.instrument.settings import load

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {"watchkeeper": "", "naive": "", "logfire": "logfire", "sentry": "sentry"}
"""By name, the side installation that each needs."""
ROUNDS, LINES = 5, 4_000
_PIECE = 6
"""So many characters of a secret in a row count as a leak, as in the tests."""
_VALUE = "R3lq8ZpT1vKx"
_NAMES = (
    "password", "user_password", "newPassword", "DB_PASSWD", "secret", "client_secret",
    "clientSecret", "access_token", "accessToken", "refresh-token", "X-CSRF-Token", "authorization",
    "Set-Cookie", "api_key", "apiKey", "X-API-Key", "private_key", "credentials", "jwt", "signature",
    "session_token", "passphrase",
)  # fmt: skip
_OPEN_NAMES = (
    "gen_ai.usage.input_tokens", "max_tokens", "token_type", "auth.method", "auth.provider",
    "session.id", "author", "authors", "compass", "significant", "keyboard", "primary_key",
    "sort_key", "secretary", "monkey",
)  # fmt: skip

Entry = MutableMapping[str, Any]


class Shape(NamedTuple):
    """A line to write."""

    event: str
    fields: dict[str, Any]


SHAPES = {
    "ordinary": Shape(
        "order.paid",
        {
            "order_id": 17, "amount": 12.5, "currency": "EUR", "path": "/orders/{order_id}",
            "customer": "c-81f2", "note": "paid by the customer after the second reminder",
        },
    ),
    "secrets": Shape(
        "login of ann@example.org failed",
        {
            "password": "hunter22-hunter22", "attempt": 3,
            "note": "Authorization: Bearer 8f7a6b5c4d3e2f1a0b9c, then api_key=R3lq8ZpT1vKx9",
        },
    ),
    "long": Shape("answer", {"text": "The figs of the north are picked early. " * 100}),
}  # fmt: skip

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\w.+-]+@[\w-]+\.[\w.-]+",
        r"(?i)bearer\s+[\w.~+/-]+=*",
        r"(?i)basic\s+[A-Za-z0-9+/]{8,}={0,2}",
        r"eyJ[\w-]+\.[\w-]+\.[\w-]+",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bsk-[\w-]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}",
        r"\bxox[abprs]-[\w-]+",
        r"\b(?:\d[ -]?){13,16}\b",
        r"\b\d{3}-\d{2}-\d{4}\b",
        r"://[^\s:/]+:[^\s@/]+@",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+?-----END [A-Z ]*PRIVATE KEY-----",
        r"(?i)(?:password|passwd|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?[^\s\"'&,;]+",
    )
)
_NAME = re.compile(r"(?i)password|passwd|secret|token|api[_-]?key|authorization|cookie|credential")


def naive(entry: Entry) -> Entry:
    """Return *entry* with each pattern replaced in each text, one after the other."""
    for name, value in entry.items():
        if _NAME.search(name):
            entry[name] = "[redacted]"
        elif isinstance(value, str):
            text = value
            for pattern in _PATTERNS:
                text = pattern.sub("[redacted]", text)
            entry[name] = text
    return entry


def scrubber(variant: str) -> Callable[[Entry], Entry]:
    """Return what a processor of structlog would call for *variant*, one that is not ours."""
    if variant == "naive":
        return naive
    if variant == "logfire":
        from logfire._internal.scrubbing import Scrubber

        logfire = Scrubber(None)
        return lambda entry: logfire.scrub_value(("attributes",), dict(entry))[0]
    from sentry_sdk.scrubber import EventScrubber

    sentry = EventScrubber(recursive=True)

    def scrub(entry: Entry) -> Entry:
        sentry.scrub_dict(entry)
        return {
            name: "[Filtered]" if type(value).__name__ == "AnnotatedValue" else value
            for name, value in entry.items()
        }

    return scrub


def through_structlog(variant: str, out: Any, *, redact: bool) -> Callable[[Shape], None]:
    """Return what writes a line by structlog as it is usually set up."""
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if redact:
        scrub = scrubber(variant)
        processors.append(lambda logger, method, entry: scrub(entry))  # noqa: ARG005 - structlog's signature
    log = structlog.wrap_logger(
        structlog.BytesLogger(out),
        processors=[*processors, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    ).bind()
    return lambda shape: log.info(shape.event, **shape.fields)


def through_us(out: Any, *, redact: bool) -> Callable[[Shape], None]:
    """Return what writes a line by our logger, without its OTLP record and without limits."""
    settings = load(
        {
            "log_stream": out, "log_format": "json", "redact": redact, "logs_exporter": "none",
            "traces_exporter": "none", "log_burst_lines_max": 10**9, "log_repeats_max": 10**9,
        },
        {},
    )  # fmt: skip
    runtime = build(settings, clock=SystemClock(), exporter=MemoryExporter())
    runtime.logs._emit = None  # noqa: SLF001 - the exporter's thread would disturb the figures
    route(runtime.logs, runtime.log_system.thresholds)
    log = get_logger("bench")
    return lambda shape: log.info(shape.event, **shape.fields)


def writer(variant: str, out: Any, *, redact: bool) -> Callable[[Shape], None]:
    """Return what writes a line to *out*, a text stream with a buffer."""
    if variant == "watchkeeper":
        return through_us(out, redact=redact)
    return through_structlog(variant, out.buffer, redact=redact)


def best_us(write: Callable[[Shape], None], shape: Shape) -> float:
    """Return the best of several rounds, in microseconds of CPU for one line."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(LINES):
            write(shape)
        rounds.append((time.thread_time() - start) / LINES * 1e6)
    return min(rounds)


def costs(variant: str) -> dict[str, list[float]]:
    """Return microseconds for a line with and without redaction, for each shape."""
    found = {}
    with open(os.devnull, "w", encoding="utf-8") as devnull:  # noqa: PTH123 - a device
        for name, shape in SHAPES.items():
            found[name] = [
                best_us(writer(variant, devnull, redact=redact), shape) for redact in (True, False)
            ]
    return found


def lines(variant: str, shapes: list[Shape]) -> list[str]:
    """Return what each line is after redaction."""
    with open(f"/dev/fd/{os.memfd_create('lines')}", "w+", encoding="utf-8") as out:  # noqa: PTH123 - a file of no place
        write = writer(variant, out, redact=True)
        for shape in shapes:
            write(shape)
        out.flush()
        out.seek(0)
        return out.read().splitlines()


def leaks(secret: str, line: str) -> bool:
    """Tell whether a piece of *secret* is in a line of JSON."""
    shown = json.dumps(json.loads(line), ensure_ascii=False)
    wanted = json.dumps(secret, ensure_ascii=False)[1:-1]
    return any(wanted[at : at + _PIECE] in shown for at in range(max(1, len(wanted) - _PIECE + 1)))


def found(variant: str) -> dict[str, float]:
    """Return recall and precision over texts, and over values under names."""
    # The tests are no package that is installed: `child` puts them into the path.
    from tests.instrument.redaction.corpus import INNOCENT, SECRETS

    secrets = lines(variant, [Shape("e", {"note": secret.text}) for secret in SECRETS])
    masked = sum(
        not leaks(secret.secret, line) for secret, line in zip(SECRETS, secrets, strict=True)
    )
    innocent = lines(variant, [Shape("e", {"note": one.text}) for one in INNOCENT])
    wrong = sum(
        json.loads(line)["note"] != one.text for one, line in zip(INNOCENT, innocent, strict=True)
    )
    named = lines(variant, [Shape("e", {name: _VALUE}) for name in _NAMES])
    hidden = sum(_VALUE not in line for line in named)
    opened = lines(variant, [Shape("e", {name: _VALUE}) for name in _OPEN_NAMES])
    closed = sum(_VALUE not in line for line in opened)
    return {
        "text_recall": masked / len(SECRETS),
        "text_precision": masked / (masked + wrong) if masked + wrong else 1.0,
        "name_recall": hidden / len(_NAMES),
        "name_precision": hidden / (hidden + closed) if hidden + closed else 1.0,
    }


def child(variant: str) -> dict[str, Any]:
    """Return what one fresh process measures."""
    side = VARIANTS[variant]
    paths = [str(ROOT / "build" / "peer" / side)] if side else []
    done = subprocess.run(
        [sys.executable, __file__, "--variant", variant],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT / "src"), str(ROOT)])},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def gathered(count: int) -> dict[str, float]:
    """Return the figures of every variant, each the best of *count* runs."""
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for _ in range(count):
        for variant, kept in runs.items():
            kept.append(child(variant))
    figures: dict[str, float] = {}
    for variant, kept in runs.items():
        for shape in SHAPES:
            on, off = (min(run["costs"][shape][at] for run in kept) for at in (0, 1))
            figures[f"{variant}_{shape}_line_us"] = round(on, 2)
            figures[f"{variant}_{shape}_added_us"] = round(on - off, 2)
        for name, value in kept[0].items():
            if name != "costs":
                figures[f"{variant}_{name}"] = round(value, 3)
    return figures


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--variant", choices=VARIANTS)
    arguments.add_argument("--runs", type=int, default=3)
    given = arguments.parse_args()
    if given.variant:
        print(json.dumps({**found(given.variant), "costs": costs(given.variant)}))
        return
    figures = gathered(given.runs)
    for variant in VARIANTS:
        shown = "  ".join(
            f"{name.removeprefix(variant)[1:]} {value}"
            for name, value in figures.items()
            if name.startswith(variant)
        )
        print(f"{variant:12} {shown}")
    for shape in SHAPES:
        ours = figures[f"watchkeeper_{shape}_added_us"]
        for variant in list(VARIANTS)[1:]:
            theirs = figures[f"{variant}_{shape}_added_us"]
            figures[f"{shape}_added_ratio_to_{variant}"] = round(ours / max(theirs, 0.01), 2)
    print(json.dumps({"bench": "redaction", "python": sys.version.split()[0], **figures}))


if __name__ == "__main__":
    main()
