"""Reads ``alertmanager.yml`` as Alertmanager does.

`check_file` gives Alertmanager's verdict on a file; `load_config_file` takes it into service and
refuses by name what this server does not do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.define.yamltree import Node, ScalarNode, read
from watchkeeper.errors import ConfigFileError, UnsupportedConfigError
from watchkeeper.server.alerts.config import intervals
from watchkeeper.server.alerts.config.intervals import TimeInterval
from watchkeeper.server.alerts.config.model import Config
from watchkeeper.server.alerts.config.receivers import read_global, read_receivers
from watchkeeper.server.alerts.config.routes import RouteReader, read_inhibit_rules
from watchkeeper.server.alerts.config.shown import shown
from watchkeeper.server.alerts.config.tables import Block, Field, Reader, Table
from watchkeeper.server.alerts.templates.store import TemplateError, Templates
from watchkeeper.vocabulary.limits import limit

__all__ = ["Checked", "check_file", "check_text", "load_config_file", "load_config_text"]

_WHAT = "an alertmanager.yml"
_NODES = Field("nodes", ())
_FILE = Table(
    "the file",
    {
        "global": Field("node"), "route": Field("node"), "inhibit_rules": _NODES,
        "receivers": _NODES, "templates": Field("files", ()), "mute_time_intervals": _NODES,
        "time_intervals": _NODES, "tracing": Field("any"), "event_recorder": Field("any"),
    },
)  # fmt: skip
_TIMES = Table(
    "a range of times", {"start_time": Field("text", ""), "end_time": Field("text", "")},
    required=(("start_time",), ("end_time",)),
)  # fmt: skip
_INTERVAL = Table(
    "a time interval",
    {"times": Field("tables", table=_TIMES), "location": Field("text", "UTC"),
     **dict.fromkeys(("weekdays", "days_of_month", "months", "years"), Field("texts"))},
)  # fmt: skip
_NAMED_INTERVAL = Table(
    "a named time interval", {"name": Field("text", ""), "time_intervals": _NODES},
    required=(("name",),),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that Alertmanager's rules accept, with what stands in the way elsewhere."""

    config: Config
    unsupported: tuple[tuple[int, str], ...]
    """Lines and what this server does not do there: `load_config_file` refuses the file."""
    own: tuple[tuple[int, str], ...]
    """Lines and what there is watchkeeper's alone: Alertmanager refuses the file."""
    has_global: bool
    """Whether the file has a ``global`` section."""


def load_config_file(path: Path) -> Config:
    """Return the configuration in the file at *path*, ready to serve.

    Args:
        path: The file; relative paths in it start from its folder.

    Raises:
        UnsupportedConfigError: The file asks for what this server does not do; says all of it.
        ConfigFileError: The file cannot be read, is larger than ``rule_file_bytes_max``, or is
            not what Alertmanager accepts; says the first that is wrong, with its line.
    """
    return _served(check_file(path), str(path))


def load_config_text(text: str, path: str) -> Config:
    """Return the configuration in *text*, as `load_config_file` does.

    Args:
        text: The file's content.
        path: The file, shown in errors; relative paths start from its folder. Neither it nor the
            template files are read.

    Raises:
        UnsupportedConfigError: As `load_config_file`.
        ConfigFileError: As `load_config_file`.
    """
    return _served(check_text(text, path), path)


def check_file(path: Path) -> Checked:
    """Return what Alertmanager's rules make of the file at *path*, `apprise_configs` aside.

    The template files that it names are read as well; a pattern that no file fits is fine.

    Raises:
        ConfigFileError: As `load_config_file`.
    """
    most = limit("rule_file_bytes_max")
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigFileError(
            f"{path}: cannot be read: {error.strerror}. Accepted: a readable file. "
            "Next: check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(
            f"{path}: not UTF-8 at byte {error.start}. Accepted: UTF-8. Next: convert the file."
        ) from None
    if len(raw) > most:
        raise ConfigFileError(
            f"{path}: larger than {most} bytes. Accepted: up to rule_file_bytes_max. "
            "Next: make the file smaller."
        )
    checked = check_text(text, str(path))
    try:
        Templates(checked.config.templates)
    except TemplateError as error:
        raise ConfigFileError(
            f"{path}: a template file cannot be used: {error}. Accepted: Alertmanager's templates. "
            "Next: correct that file; a configuration loaded before stays in force."
        ) from None
    return checked


def check_text(text: str, path: str) -> Checked:
    """Return what Alertmanager's rules make of *text*; *path* is as in `load_config_text`.

    Raises:
        ConfigFileError: As `load_config_file`.
    """
    reader = Reader(path, Path(path).absolute().parent)
    root = read(text, path, error=ConfigFileError, kind=_WHAT)
    if root is None or _null(root):
        reader.refuse(1, "the file has no route", "a route with a receiver")
    block = reader.table(root, _FILE)
    settings = read_global(reader, block["global"])
    found = read_receivers(reader, block["receivers"], settings)
    times = _time_intervals(reader, block)
    if block["route"] is None or _null(block["route"]):
        reader.refuse(1, "the file has no route", "a route with a receiver")
    routes = RouteReader(reader, found.receivers, times)
    route = routes.root(block["route"])
    rules = read_inhibit_rules(reader, block["inhibit_rules"])
    sections = [
        (block.line(name), f"the section {name}")
        for name in ("tracing", "event_recorder")
        if block[name]
    ]
    config = Config(
        route=route,
        receivers=found.receivers,
        inhibit_rules=rules,
        time_intervals=times,
        resolve_timeout_ms=settings["resolve_timeout"],
        templates=block["templates"],
        original=shown(root, reader.secrets),
    )
    unsupported = tuple(sorted([*found.unsupported, *routes.unsupported, *sections]))
    return Checked(config, unsupported, tuple(sorted(found.own)), block["global"] is not None)


def _served(checked: Checked, path: str) -> Config:
    if checked.unsupported:
        named = "; ".join(f"line {line}: {what}" for line, what in checked.unsupported[:20])
        raise UnsupportedConfigError(
            f"{path}:{checked.unsupported[0][0]}: valid for Alertmanager, but not served here: "
            f"{named}. Accepted: receivers by slack_configs, email_configs, pagerduty_configs, "
            "webhook_configs and apprise_configs. Next: take out or replace what is named; a "
            "configuration loaded before stays in force."
        )
    return checked.config


def _time_intervals(reader: Reader, file: Block) -> dict[str, tuple[TimeInterval, ...]]:
    found: dict[str, tuple[TimeInterval, ...]] = {}
    for node in (*file["mute_time_intervals"], *file["time_intervals"]):
        block = reader.table(node, _NAMED_INTERVAL)
        if block["name"] in found:
            reader.refuse(
                block.line("name"), f"the time interval {block['name'][:80]!r} is given twice",
                "distinct names",
            )  # fmt: skip
        found[block["name"]] = tuple(_interval(reader, item) for item in block["time_intervals"])
    return found


def _interval(reader: Reader, node: Node) -> TimeInterval:
    if _null(node):
        return TimeInterval()
    block = reader.table(node, _INTERVAL)
    try:
        return TimeInterval(
            times=None if block["times"] is None else tuple(map(_times, block["times"])),
            weekdays=_ranges(block["weekdays"], intervals.parse_weekdays),
            days_of_month=_ranges(block["days_of_month"], intervals.parse_days_of_month),
            months=_ranges(block["months"], intervals.parse_months),
            years=_ranges(block["years"], intervals.parse_years),
            location=intervals.parse_location(block["location"]),
        )
    except ValueError as error:
        reader.refuse(
            block.line(), f"a time interval cannot be read: {error}",
            "times as 09:00, days as monday:friday, 1:15 or -3:-1, months as may:august, years as "
            "2026:2028, a location as Europe/Berlin",
        )  # fmt: skip


def _ranges(
    texts: tuple[str, ...] | None, read_one: Callable[[str], intervals.Range]
) -> tuple[intervals.Range, ...] | None:
    return None if texts is None else tuple(map(read_one, texts))


def _times(values: dict[str, str]) -> intervals.Range:
    start = intervals.parse_time(values["start_time"])
    end = intervals.parse_time(values["end_time"])
    if start >= end:
        raise ValueError(
            f"{values['start_time']} to {values['end_time']} ends before it begins; split a time "
            "over midnight in two"
        )
    return start, end


def _null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.null
