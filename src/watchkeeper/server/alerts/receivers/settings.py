"""Reads the settings of one integration, whatever form the configuration left them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.vocabulary.limits import limit

__all__ = ["Settings", "revealed", "secret", "section", "text", "timeout_s"]

Settings = Mapping[str, Any]


def secret(settings: Settings, name: str) -> Secret:
    """Return the secret called *name*, from its own field or from the file in ``<name>_file``."""
    value = settings.get(name)
    if isinstance(value, Secret) and value:
        return value
    if value and not isinstance(value, Secret):
        return Secret(str(value))
    source = settings.get(f"{name}_file")
    return Secret(source=str(source)) if source else Secret()


def revealed(value: Secret, name: str) -> str:
    """Return the text of a secret.

    Args:
        value: The secret.
        name: What it is, for the error.

    Raises:
        NotifyError: Its file cannot be read; worth a retry, since files are rotated.
    """
    try:
        return value.reveal()
    except OSError as error:
        raise NotifyError(
            f"the file of {name} cannot be read: {error.strerror or type(error).__name__}",
            retryable=True,
        ) from None
    except UnicodeDecodeError:
        raise NotifyError(f"the file of {name} is not UTF-8 text", retryable=True) from None


def text(settings: Settings, name: str, default: str = "") -> str:
    """Return the text called *name*, or *default* where there is none."""
    value = settings.get(name)
    if isinstance(value, Secret):
        return revealed(value, name)
    return default if value is None else str(value)


def section(settings: Settings, name: str) -> Settings:
    """Return the mapping called *name*, empty where there is none."""
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}


def timeout_s(settings: Settings) -> float:
    """Return the seconds after which an attempt is given up: ``timeout``, within the limit."""
    most = float(limit("notification_timeout_s_max"))
    wanted = settings.get("timeout_ms")
    if isinstance(wanted, (int, float)) and wanted > 0:
        return min(wanted / 1000, most)
    return most
