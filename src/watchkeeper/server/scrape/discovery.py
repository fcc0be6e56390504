"""Targets from Prometheus ``file_sd`` files (Prometheus documentation, "file_sd_config")."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import structlog
import yaml

__all__ = ["TargetSpec", "read_targets"]

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


def read_targets(directory: Path) -> list[TargetSpec]:
    """Return the targets of every ``*.json``, ``*.yml`` and ``*.yaml`` file in *directory*.

    A file that does not parse is left out and said in the log; it is tried again next time.
    """
    found: dict[TargetSpec, None] = {}
    if not directory.is_dir():
        return []
    for path in sorted(directory.iterdir()):
        if path.suffix not in (".json", ".yml", ".yaml") or path.name.startswith("."):
            continue
        try:
            groups = yaml.safe_load(path.read_text(encoding="utf-8"))
            for target in _targets(groups):
                found[target] = None
        except FileNotFoundError:
            continue  # it went away between listing and reading
        except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            _log.warning("a targets file cannot be read", file=str(path), error=str(error)[:200])
    return list(found)


def _targets(groups: Any) -> list[TargetSpec]:
    if not isinstance(groups, list):
        raise TypeError("the file is not a list of target groups")
    result = []
    for group in groups:
        labels = {str(key): str(value) for key, value in (group.get("labels") or {}).items()}
        path = labels.pop("__metrics_path__", "/metrics")
        result += [
            TargetSpec(str(address), tuple(sorted(labels.items())), path)
            for address in group["targets"]
        ]
    return result
