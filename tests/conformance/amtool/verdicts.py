"""Amtool's verdicts on files, and ours."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.corpora import corpus
from tests.services import needed

from watchkeeper.errors import ConfigFileError
from watchkeeper.server.alerts.config.loader import check_file

__all__ = ["NEWER", "Verdict", "amtool", "corpus_verdicts", "ours", "program"]

NEWER: dict[str, str] = {
    "conf.mattermost-default-webhook-url-file.yml": "mattermost_configs",
    "conf.mattermost-default-webhook-url.yml": "mattermost_configs",
    "conf.rocketchat-default-token-file.yml": "rocketchat_configs",
    "conf.rocketchat-default-token.yml": "rocketchat_configs",
    "conf.slack-default-app-token.yml": "slack_app_token, app_token and app_url",
    "conf.smtp-password-global-and-local.yml": "auth_secret_file and smtp_auth_secret_file",
    "conf.telegram-default-bot-token-file.yml": "telegram_bot_token_file",
    "conf.telegram-default-bot-token.yml": "telegram_bot_token",
    "conf.wechat-default-api-secret-file.yml": "api_secret_file and wechat_api_secret_file",
}
"""Good files that amtool 0.25 refuses, by what it does not know in them. Alertmanager's own tests
(config_test.go) load each of them without an error."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Exit codes for one file: 0 for good, 1 for bad."""

    file: str
    amtool: int
    ours: int


def program() -> str:
    """Return the path of amtool; a missing one fails CI and skips elsewhere."""
    found = shutil.which("amtool")
    if found is None:
        needed("amtool")
    return found


def amtool(*args: str) -> subprocess.CompletedProcess[str]:
    """Run amtool with *args*."""
    return subprocess.run(
        [program(), *args], capture_output=True, text=True, timeout=80, check=False
    )


def ours(path: Path) -> int:
    """Return our verdict on the file at *path*, as an exit code; ours alone is wrong for amtool."""
    try:
        return 1 if check_file(path).own else 0
    except ConfigFileError:
        return 1


def corpus_verdicts() -> list[Verdict]:
    """Return the verdicts on every file of the corpus, by name."""
    return [
        Verdict(path.name, amtool("check-config", str(path)).returncode, ours(path))
        for path in sorted(corpus("alertmanager-config").iterdir())
    ]
