"""Where alerts go when nobody wrote an ``alertmanager.yml``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from watchkeeper.errors import SettingError
from watchkeeper.server.alerts.config.loader import load_config_file, load_config_text
from watchkeeper.server.alerts.config.model import Config, Integration, Receiver

__all__ = ["default_config", "load_routes"]

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
