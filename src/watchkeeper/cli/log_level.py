"""Shows or changes the levels of loggers of a running application, in all of its workers.

  watchkeeper log-level http://127.0.0.1:8000                              show them
  watchkeeper log-level http://127.0.0.1:8000 shop.db=debug --for 10m      change one for a while
  watchkeeper log-level http://127.0.0.1:8000 --reset                      take all changes back

The application needs the setting admin_token; the same token comes from --token-file or from
WATCHKEEPER_ADMIN_TOKEN. The logger * is the level of all others.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.errors import LogLevelError, SettingError
from watchkeeper.instrument import parse
from watchkeeper.instrument.logs.admin import PATH

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "log-level"
HELP = "show or change log levels of a running application"

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 1024 * 1024
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("url", metavar="URL", help="where the application or its side listener answers")
    add("levels", nargs="*", metavar="LOGGER=LEVEL", help="what to change; none shows the levels")
    add("--for", dest="for_", default="", metavar="TIME",
        help="end the change by itself: 30s, 10m, 2h (default: never)")  # fmt: skip
    add("--reset", action="store_true", help="take changes back: of the named loggers, or all")
    add("--token-file", default="", metavar="FILE", help="file with the token")


def run(args: argparse.Namespace) -> int:
    """Ask the application, and print the levels in force."""
    method, body = _request(args)
    state = _ask(args.url, method, body, _token(args.token_file))
    print(f"default: {state['level']}")
    for name, level in sorted(state["levels"].items()):
        print(f"{name}: {level}")
    for name, change in sorted(state["changes"].items()):
        ends = change["ends_in_s"]
        until = "until it is taken back" if ends is None else f"for {ends:.0f} s more"
        print(f"changed: {name or '*'}: {change['level']} ({until})")
    if not state["shared"]:
        print("only this process: it has no home directory to share changes in")
    return 0


def _request(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    if args.reset:
        names = [word.partition("=")[0] for word in args.levels]
        return "DELETE", {"loggers": names} if names else {}
    if not args.levels:
        return "GET", {}
    try:
        levels = dict(parse.levels(",".join(args.levels)))
    except ValueError as error:
        raise SettingError.explain(
            "levels cannot be read",
            got=" ".join(args.levels),
            accepted="LOGGER=LEVEL, such as shop.db=debug",
            next_step=f"use {error}",
        ) from error
    return "PUT", {"levels": levels, "for_s": _seconds(args.for_)}


def _seconds(text: str) -> float:
    if not text:
        return 0
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    if found is None or not int(found[1]):
        raise SettingError.explain(
            "the time cannot be read",
            got=text,
            accepted="a number and s, m, h or d",
            next_step="write 10m for ten minutes",
        )
    return int(found[1]) * _UNITS[found[2]]


def _token(file: str) -> str:
    # A token on the command line could be read by every user of the host.
    token = os.environ.get("WATCHKEEPER_ADMIN_TOKEN", "")
    if file:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise SettingError.explain(
                "the token cannot be read",
                got=file,
                accepted="the path of a text file that this user may read",
                next_step=f"correct the path or its permissions ({type(error).__name__})",
            ) from error
    if not token:
        raise SettingError.explain(
            "the token is missing",
            got="none",
            accepted="--token-file FILE, or the variable WATCHKEEPER_ADMIN_TOKEN",
            next_step="pass the token that the application has as admin_token",
        )
    return token


def _ask(url: str, method: str, body: dict[str, Any], token: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingError.explain(
            "the URL cannot be read",
            got=url,
            accepted="a URL such as http://127.0.0.1:8000",
            next_step="begin it with http:// or https://",
        )
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Neither proxies nor redirects: the token goes to the host that was named, and nowhere else.
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    path = parts.path if parts.path.strip("/") else PATH
    try:
        connection.request(
            method,
            path,
            json.dumps(body),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        text = answer.read(_ANSWER_BYTES_MAX)
        found = json.loads(text) if answer.status != 404 else {}
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LogLevelError.explain(
            "the application does not answer",
            got=f"{url} ({error})",
            accepted="an observed application, or its side listener",
            next_step="check that it runs and listens there",
        ) from error
    finally:
        connection.close()
    if answer.status == 404:
        raise LogLevelError.explain(
            "the application has no page for log levels",
            got=f"{url}: 404",
            accepted="an application with the setting admin_token",
            next_step="set WATCHKEEPER_ADMIN_TOKEN or WATCHKEEPER_ADMIN_TOKEN_FILE for it",
        )
    if answer.status != 200 or not isinstance(found, dict):
        raise LogLevelError.explain(
            "the application refused",
            got=f"{answer.status}: {found.get('error') if isinstance(found, dict) else found}",
            accepted="a request that it allows",
            next_step="correct what it says",
        )
    return found
