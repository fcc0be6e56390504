"""Starts a command so that the Python web application in it is observed, with no change to its code.

Works with reloaders and several workers, for every process the command starts:

  watchkeeper run -- uvicorn app:app --reload
  watchkeeper run --service shop -- uvicorn app:app --workers 2
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from watchkeeper.cli.serve import default_data_dir
from watchkeeper.errors import SettingError

__all__ = ["HELP", "NAME", "arguments", "run"]

NAME = "run"
HELP = "start a command with its applications observed (zero code)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("--service", default=None, help="name of the service (default: from the command)")
    add("--endpoint", default=None,
        help="OTLP/HTTP endpoint (default: what is set, or http://127.0.0.1:8400)")  # fmt: skip
    add(
        "--targets-dir", default=None, help="where scrape targets are announced (default: per user)"
    )
    add("command_line", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to start")


def environment(args: argparse.Namespace, command: list[str]) -> dict[str, str]:
    """Return the environment in which *command* is observed.

    What the user has set, in whatever way, wins over what is made up here.
    """
    from watchkeeper.instrument import autoload

    made_up = {
        "service": service_name(command),
        "endpoint": "http://127.0.0.1:8400",
        "targets_dir": str(default_data_dir() / "targets"),
    }
    result = dict(os.environ)
    origins = _origins()
    for name, value in made_up.items():
        given = getattr(args, name)
        if given or origins.get(name, "default") == "default":
            result[f"WATCHKEEPER_{name.upper()}"] = given or value
    result["WATCHKEEPER_AUTOLOAD"] = "1"
    paths = [str(autoload.path_entry()), os.environ.get("PYTHONPATH", "")]
    result["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return result


def _origins() -> Mapping[str, str]:
    """Return where each setting comes from; of the protocol's default depends the endpoint's."""
    from watchkeeper.instrument.settings import load

    try:
        origins = dict(load({}).origins)
    except SettingError:
        # The process that is started says so.
        return {}
    if origins["protocol"] != "default" and origins["endpoint"] == "default":
        # The default endpoint of the setting follows the protocol.
        origins["endpoint"] = origins["protocol"]
    return origins


def _application(command: list[str]) -> str:
    """Return the word that names the application, or ""."""
    words = command[1:]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option in ("--app", "-A"):
            return value or following
        if ":" in word and not word.startswith("-"):
            return word
    if os.path.basename(command[0]) == "flask":  # noqa: PTH119 - a word of a command
        # What Flask itself looks for, in this order.
        files = (name for name in ("wsgi.py", "app.py") if Path(name).is_file())
        return os.environ.get("FLASK_APP") or next(files, "")
    return ""


def service_name(command: list[str]) -> str:
    """Return a name for what *command* runs.

    ``uvicorn shop.app:app``, ``flask --app shop.web run`` and ``celery -A shop.tasks worker`` are
    ``shop``.
    """
    found = _application(command)
    if found:
        name = os.path.basename(found.split(":")[0])  # noqa: PTH119 - also a module's name
        return name.split(".")[0] or name
    return os.path.basename(command[0])  # noqa: PTH119 - a word of a command, not a path


def run(args: argparse.Namespace) -> int:
    """Become the command; does not return unless it cannot be started."""
    command = args.command_line[1:] if args.command_line[:1] == ["--"] else args.command_line
    if not command:
        raise SettingError(
            "nothing to run: got no command. Accepted: watchkeeper run -- COMMAND. "
            "Next: put the command after '--'."
        )
    program = shutil.which(command[0])
    if program is None:
        raise SettingError(
            f"command not found: got {command[0]!r}. Accepted: a program on PATH. "
            "Next: check the spelling or activate its virtual environment."
        )
    sys.stdout.flush()
    os.execve(program, command, environment(args, command))  # noqa: S606 - the user's own command
