"""The only reader of the environment on the application side."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from watchkeeper.errors import SettingError, WatchkeeperError
from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.foreign import remarks
from watchkeeper.instrument.settings.row import Setting
from watchkeeper.instrument.settings.table import TABLE, Settings
from watchkeeper.instrument.settings.tracing import apply_sampler

__all__ = ["load", "log_levels_again"]

_FILE = "watchkeeper.toml"
_PREFIX = "WATCHKEEPER_"
_SUFFIX = "_FILE"
"""A secret's variable or key with this behind it names a file that holds the secret."""
_OTHERS = frozenset(
    {
        "WATCHKEEPER_CONFIG", "WATCHKEEPER_AUTOLOAD", "WATCHKEEPER_SKIP_UI",
        "WATCHKEEPER_SLACK_WEBHOOK_URL", "WATCHKEEPER_CONFORMANCE", "WATCHKEEPER_PROMETHEUS_URL",
        "WATCHKEEPER_TEST_PATIENCE", "WATCHKEEPER_SERVER",
    }
)  # fmt: skip
"""Variables of ours that are no settings."""


def load(arguments: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that *arguments*, the environment and the file add up to.

    Args:
        arguments: Settings by name; None means not given.
        environ: The environment; by default this process's.

    Raises:
        SettingError: A name is unknown, or a value cannot be read.
    """
    env = os.environ if environ is None else environ
    for name in arguments:
        if name not in TABLE:
            raise _unknown(name, "argument of configure")
    file_path, file_values = _read_file(env)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    ignored: list[str] = []
    for name, row in TABLE.items():
        # None is what a caller passes who has no value.
        if arguments.get(name) is not None:
            values[name], origins[name] = (
                _parsed(name, row, arguments[name], "argument"),
                "argument",
            )
        elif found := _from_env(name, row, env, ignored):
            values[name], origins[name] = found
        elif name in file_values:
            values[name] = _parsed(name, row, file_values[name], file_path)
            origins[name] = file_path
        elif _may_lie_in_a_file(name, row) and f"{name}_file" in file_values:
            values[name] = _secret(name, row, str(file_values[f"{name}_file"]), file_path)
            origins[name] = f"{file_path}, {name}_file"
        else:
            origins[name] = "default"
    _fall_back(values, origins, env)
    apply_sampler(values, origins, env, ignored)
    ignored += _mistyped(env)
    ignored += remarks(values, origins, env)
    return Settings(
        **values, origins=MappingProxyType(origins), ignored=tuple(ignored), home=_home(env)
    )


def log_levels_again(present: Settings) -> tuple[str, Mapping[str, str]]:
    """Return `Settings.log_level` and `Settings.log_levels` as the settings file has them now.

    What the file does not say stays as it is in *present*. The file wins here over argument and
    environment, which cannot be changed from outside while the process runs.

    Raises:
        SettingError: The file cannot be read, or one of the two in it.
    """
    path, values = _read_file(os.environ)
    level, levels = present.log_level, present.log_levels
    if "log_level" in values:
        level = _parsed("log_level", TABLE["log_level"], values["log_level"], path)
    if "log_levels" in values:
        levels = _parsed("log_levels", TABLE["log_levels"], values["log_levels"], path)
    return level, levels


def _unknown(name: str, where: str) -> WatchkeeperError:
    import difflib  # noqa: PLC0415 - only for a mistake

    near = difflib.get_close_matches(name, TABLE, n=1)
    return SettingError.explain(
        f"unknown setting in {where}",
        got=name,
        accepted=", ".join(TABLE),
        next_step=f"use {near[0]!r}" if near else "choose one of these names",
    )


def _parsed(name: str, row: Setting, given: object, where: str) -> Any:
    try:
        return row.parse(given)
    except ValueError as error:
        raise SettingError.explain(
            f"the setting {name} ({where}) cannot be read",
            got="[secret]" if row.secret else _without_login(name, given),
            accepted=str(error),
            next_step=f"correct it, or remove it to use the default. {name}: {row.brief}".rstrip(
                "."
            ),
        ) from error


def _without_login(name: str, given: object) -> object:
    """Return *given*, a URL without its user and password."""
    if not isinstance(given, str):
        return given
    if name.endswith("endpoint"):
        return parse.without_login(given)
    return re.sub(r"(?<=://)[^/\s]*@", "[secret]@", given)


def _from_env(
    name: str, row: Setting, env: Mapping[str, str], ignored: list[str]
) -> tuple[Any, str] | None:
    for variable in row.env:
        given = env.get(variable, "")
        if not given.strip():
            file = env.get(f"{variable}{_SUFFIX}", "")
            if file and variable.startswith(_PREFIX) and _may_lie_in_a_file(name, row):
                return _secret(name, row, file, f"{variable}{_SUFFIX}"), f"{variable}{_SUFFIX}"
            continue
        if not variable.startswith("OTEL_"):
            return _parsed(name, row, given, variable), variable
        try:
            return row.env_parse.get(variable, row.parse)(given), variable
        except ValueError as error:
            ignored.append(f"{variable} is ignored: accepted is {error}")
    return None


def _may_lie_in_a_file(name: str, row: Setting) -> bool:
    """Tell whether ``_file`` behind a setting names a file; `headers_file` has a form of its own."""
    return row.secret and f"{name}_file" not in TABLE


def _secret(name: str, row: Setting, file: str, where: str) -> Any:
    """Read a secret from the file that *where* names, as container platforms hand them out."""
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingError.explain(
            f"the secret {name} ({where}) cannot be read",
            got=file,
            accepted="the path of a text file that this user may read",
            next_step=f"correct the path or its permissions ({type(error).__name__})",
        ) from error
    return _parsed(name, row, text, where)


def _mistyped(env: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like one of ours and is none."""
    unknown = [name for name in env if name.startswith(_PREFIX) and name not in _OTHERS]
    if not unknown:
        return []
    import difflib  # noqa: PLC0415 - only for a mistake

    known = {variable for row in TABLE.values() for variable in row.env}
    known |= {
        f"{variable}{_SUFFIX}" for row in TABLE.values() if row.secret for variable in row.env
    }
    found = []
    for name in unknown:
        near = [] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if near:
            found.append(f"{name} is no setting and is ignored: did you mean {near[0]}?")
    return found


def _fall_back(values: dict[str, Any], origins: dict[str, str], env: Mapping[str, str]) -> None:
    attributes = values.get("resource", {})
    for name, keys in (
        ("service", ("service.name",)),
        ("version", ("service.version",)),
        ("environment", ("deployment.environment.name", "deployment.environment")),
    ):
        found = next((attributes[key] for key in keys if attributes.get(key)), None)
        if found and name not in values:
            values[name], origins[name] = found, f"resource ({origins['resource']})"
    if "enabled" not in values and env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        values["enabled"], origins["enabled"] = False, "OTEL_SDK_DISABLED"
    if "log_color" not in values and env.get("NO_COLOR"):
        values["log_color"], origins["log_color"] = False, "NO_COLOR"


def _read_file(env: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    asked = env.get("WATCHKEEPER_CONFIG", "")
    path = Path(asked or _FILE)
    if not asked and not path.is_file():
        return "", {}
    import tomllib  # noqa: PLC0415 - few have a file

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("instrument", {})
    except (OSError, ValueError) as error:
        raise SettingError.explain(
            "the settings file cannot be read",
            got=str(path),
            accepted="a TOML file with a table [instrument]",
            next_step=f"correct it or unset WATCHKEEPER_CONFIG ({error})",
        ) from error
    for name in table:
        secret = name.removesuffix("_file")
        if secret != name and secret in TABLE and _may_lie_in_a_file(secret, TABLE[secret]):
            continue
        if name not in TABLE or name == "log_stream":
            raise _unknown(name, f"{path}, table [instrument]")
    return str(path), table


def _home(env: Mapping[str, str]) -> str:
    state = env.get("XDG_STATE_HOME", "")
    if not state:
        home = env.get("HOME", "")
        state = str(Path(home, ".local", "state")) if home else ""
    return str(Path(state, "watchkeeper")) if state else ""
