"""Targets from Prometheus ``file_sd`` files (Prometheus documentation, "file_sd_config")."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import yaml

from watchkeeper.errors import SettingError

__all__ = ["TargetFolder", "TargetSpec", "static_target"]

_FILE_BYTES_MAX = 1024 * 1024
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

_log = structlog.get_logger("watchkeeper.server.scrape")


class TargetSpec(NamedTuple):
    """One target as a file names it."""

    address: str
    """``host:port``."""
    labels: tuple[tuple[str, str], ...]
    """Sorted pairs, without ``instance``."""
    path: str = "/metrics"

    @property
    def url(self) -> str:
        """Where the page is."""
        scheme = dict(self.labels).get("__scheme__", "http")
        return f"{scheme}://{self.address}{self.path}"


class TargetFolder:
    """The ``*.json``, ``*.yml`` and ``*.yaml`` files of a folder, parsed again when they change.

    Args:
        directory: The folder; it need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parsed: dict[Path, tuple[tuple[int, int, int], list[TargetSpec]]] = {}

    def read(self) -> list[TargetSpec]:
        """Return the targets of every file, each once.

        A file that does not parse keeps the targets it had before, and is said in the log once.
        """
        if not self._directory.is_dir():
            self._parsed.clear()
            return []
        present: dict[Path, tuple[tuple[int, int, int], list[TargetSpec]]] = {}
        for path in sorted(self._directory.iterdir()):
            if path.suffix not in (".json", ".yml", ".yaml") or path.name.startswith("."):
                continue
            try:
                found = path.stat()
            except FileNotFoundError:
                continue  # it went away between listing and reading
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            before = self._parsed.get(path)
            if before is None or before[0] != stamp:
                targets = _parse(path, before[1] if before else [])
                present[path] = (stamp, targets)
            else:
                present[path] = before
        self._parsed = present
        return list(dict.fromkeys(spec for _, targets in present.values() for spec in targets))


def _parse(path: Path, otherwise: list[TargetSpec]) -> list[TargetSpec]:
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise ValueError(f"larger than {_FILE_BYTES_MAX} bytes")  # noqa: TRY301 - joins the others below
        return _targets(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        _log.warning("scrape.targets_file", file=str(path), error=str(error)[:200])
        return otherwise


def _targets(groups: Any) -> list[TargetSpec]:
    if not isinstance(groups, list):
        raise TypeError("the file is not a list of target groups")
    result = []
    for group in groups:
        labels = {str(key): str(value) for key, value in (group.get("labels") or {}).items()}
        wrong = [name for name in labels if not _LABEL.fullmatch(name)]
        if wrong:
            raise ValueError(f"not a label name: {wrong[0]!r}")
        path = labels.pop("__metrics_path__", "/metrics")
        result += [
            TargetSpec(str(address), tuple(sorted(labels.items())), path)
            for address in group["targets"]
        ]
    return result


def static_target(text: str) -> TargetSpec:
    """Return the target that ``host:port[/path][,label=value…]`` names.

    Raises:
        SettingError: The text has another form.
    """
    address, *pairs = text.split(",")
    host, slash, path = address.partition("/")
    labels = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    fits = len(labels) == len(pairs) and all(_LABEL.fullmatch(name) for name in labels)
    if not fits or not _ADDRESS.fullmatch(host):
        raise SettingError.explain(
            "not a target",
            got=text,
            accepted="host:port, host:port/path, and label=value pairs behind commas",
            next_step="write for example 127.0.0.1:9100/metrics,job=node",
        )
    return TargetSpec(host, tuple(sorted(labels.items())), f"{slash}{path}" or "/metrics")
