"""Where alerts go when nobody wrote an ``alertmanager.yml``, and the senders of a configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.errors import SettingError
from watchkeeper.server.alerts.config.intervals import contains
from watchkeeper.server.alerts.config.loader import load_config_file, load_config_text
from watchkeeper.server.alerts.config.model import Config, Integration, Receiver
from watchkeeper.server.alerts.delivery import SenderKey
from watchkeeper.server.alerts.notification import Sender
from watchkeeper.server.alerts.receivers import build
from watchkeeper.server.alerts.receivers.log import LogSender

__all__ = ["build_senders", "default_config", "load_routes", "within"]

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_ROUTE = """
route:
  receiver: {receiver}
  group_by: [alertname]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 4h
  routes:
    # The watchdog always fires, and is for who listens to its absence.
    - receiver: "null"
      matchers: ['severity="none"']
receivers:
  - name: "null"
  - name: {receiver}
"""


def load_routes(path: Path | None, slack_webhook_url: str) -> Config:
    """Return the configuration in the file at *path*, or the one that stands in for it.

    Raises:
        ConfigFileError: The file cannot be used.
        SettingError: The webhook's address cannot be used.
    """
    return default_config(slack_webhook_url) if path is None else load_config_file(path)


def default_config(slack_webhook_url: str = "") -> Config:
    """Return where alerts go without a file: to the webhook, or else to the server's log.

    Alerts of one name are one group; those of severity ``none`` are told to nobody.

    Args:
        slack_webhook_url: A Slack incoming webhook, a secret. https, or http on loopback.

    Raises:
        SettingError: The webhook's address cannot be used.
    """
    if not slack_webhook_url:
        config = load_config_text(_ROUTE.format(receiver="log"), "the default routes")
        told = Receiver("log", (Integration("log", 0, send_resolved=True),))
        return replace(config, receivers={**config.receivers, "log": told})
    _check(slack_webhook_url)
    slack = (
        f"    slack_configs: [{{api_url: {json.dumps(slack_webhook_url)}, send_resolved: true}}]\n"
    )
    return load_config_text(_ROUTE.format(receiver="slack") + slack, "the default routes")


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise SettingError(
            "the Slack webhook's address cannot be used: got a secret that is not shown. "
            "Accepted: https://hooks.slack.com/services/… . Next: correct slack_webhook_url."
        )


def within(interval: Any, now_ms: int) -> bool:
    """Tell whether a value of `Config.time_intervals` contains *now_ms*."""
    return contains(interval, now_ms)


def build_senders(config: Config) -> dict[SenderKey, Sender]:
    """Return a sender for each integration of *config*, the log among them.

    Raises:
        SettingError: As `watchkeeper.server.alerts.receivers.build.build_senders`.
    """
    logs: dict[SenderKey, Sender] = {}
    others: dict[str, Receiver] = {}
    for name, receiver in config.receivers.items():
        kept = tuple(one for one in receiver.integrations if one.kind != "log")
        others[name] = replace(receiver, integrations=kept)
        logs |= {
            (name, one.kind, one.index): LogSender()
            for one in receiver.integrations
            if one.kind == "log"
        }
    return {**build.build_senders(replace(config, receivers=others)), **logs}
