"""Runs the embedded server: ingest, store, queries, rules, alerts and the web UI in one process.

It listens on 127.0.0.1 only and keeps everything in one data directory.
Point an application at it with WATCHKEEPER_ENDPOINT=http://127.0.0.1:8400.
SIGHUP, or POST to /-/reload, reads rule files anew; a bad one keeps the rules that it had.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "serve"
HELP = "run the embedded server"


def default_data_dir() -> Path:
    """Return the per-user data directory, by the XDG base directory specification."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "watchkeeper"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--port", type=int, default=8400, help="UI, query APIs and OTLP/HTTP (default: 8400)")
    add("--otlp-port", type=int, default=4318, help="OTLP/HTTP also here; 0 is off (default: 4318)")
    add("--data-dir", type=Path, default=None, help="where telemetry is kept (default: per user)")
    add("--targets-dir", type=Path, default=None, help="folder of Prometheus file_sd JSON files")
    add("--scrape", action="append", default=[], metavar="TARGET",
        help="scrape host:port/path,job=NAME as well; may be repeated")  # fmt: skip
    add("--scrape-interval", type=float, default=5.0, metavar="S", help="seconds (default: 5)")
    add("--rules", type=Path, action="append", default=[], metavar="FILE",
        help="a Prometheus rule file, a folder of them, or a quoted pattern; may be repeated "
        "(default: the rules that ship)")  # fmt: skip
    add("--prometheus", default=os.environ.get("WATCHKEEPER_PROMETHEUS_URL", ""), metavar="URL",
        help="evaluate rules on the Prometheus at this address instead of what is stored here "
        "(or WATCHKEEPER_PROMETHEUS_URL)")  # fmt: skip
    add("--external-url", default="", metavar="URL",
        help="address under which people reach this server, for links in messages "
        "(default: http://127.0.0.1:PORT)")  # fmt: skip
    add("--eval-interval", type=float, default=15.0, metavar="S",
        help="seconds between rule evaluations, where a group names none (default: 15)")  # fmt: skip
    add("--alertmanager-config", type=Path, default=None, metavar="FILE",
        help="an alertmanager.yml: where alerts go (default: to Slack or the log)")  # fmt: skip
    add("--escalation", type=Path, default=None, metavar="FILE",
        help="an escalation.yml: who is told until somebody acknowledges (default: nobody)")  # fmt: skip
    add("--slack-webhook-url", default=os.environ.get("WATCHKEEPER_SLACK_WEBHOOK_URL", ""),
        metavar="URL", help="where alerts go without an alertmanager.yml (or WATCHKEEPER_SLACK_WEBHOOK_URL)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    from watchkeeper.server.run import serve
    from watchkeeper.server.settings import ServerSettings

    data_dir = args.data_dir or default_data_dir()
    settings = ServerSettings(
        port=args.port,
        otlp_port=args.otlp_port,
        data_dir=data_dir,
        targets_dir=args.targets_dir or data_dir / "targets",
        scrape_targets=tuple(args.scrape),
        scrape_interval_s=args.scrape_interval,
        rule_files=tuple(args.rules),
        prometheus_url=args.prometheus,
        external_url=args.external_url,
        eval_interval_s=args.eval_interval,
        alertmanager_config=args.alertmanager_config,
        escalation_file=args.escalation,
        slack_webhook_url=args.slack_webhook_url,
    )
    return serve(settings)
