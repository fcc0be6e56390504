"""The fields of a receiver that are templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.receivers.settings import Settings, revealed
from watchkeeper.server.alerts.templates.engine import Target
from watchkeeper.server.alerts.templates.store import TemplateError, Templates

__all__ = ["Fields"]

_DEFAULT = re.compile(
    r"""\s*\{\{-?\s*template\s+"(\w+\.default\.\w+)"\s+\.(?:Alerts\.(?:Firing|Resolved))?\s*-?\}\}\s*"""
)


class Fields:
    """Settings of one integration whose texts are templates.

    Args:
        settings: By Alertmanager's names.
        templates: What they may use; the default templates if None.
    """

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self.settings = settings
        self._templates = templates if templates is not None else Templates()

    def __repr__(self) -> str:
        return "Fields(…)"

    def is_own(self, name: str) -> bool:
        """Tell whether the field called *name* says something of its own.

        It does not if it is empty, or calls one of Alertmanager's default templates that no file
        defines anew: then our own form of message is richer.
        """
        value = self.settings.get(name)
        return bool(value) and not (isinstance(value, str) and self.is_default(value))

    def is_default(self, text: str) -> bool:
        """Tell whether *text* is one of Alertmanager's defaults, and not defined anew."""
        match = _DEFAULT.fullmatch(text)
        return match is not None and not self._templates.overrides(match[1])

    def text(self, name: str, notification: Notification, target: Target = "text") -> str:
        """Return the field called *name* with its actions replaced; empty where there is none.

        Raises:
            NotifyError: Its template fails; final, since it would fail again.
        """
        value = self.settings.get(name)
        if isinstance(value, Secret):
            value = revealed(value, name)
        return self.rendered("" if value is None else str(value), name, notification, target)

    def own_text(self, name: str, notification: Notification, target: Target = "text") -> str:
        """Return the field called *name* if it says something of its own, else nothing.

        Raises:
            NotifyError: Its template fails.
        """
        return self.text(name, notification, target) if self.is_own(name) else ""

    def rendered(
        self, text: str, name: str, notification: Notification, target: Target = "text"
    ) -> str:
        """Return *text*, which stands in the field called *name*, with its actions replaced.

        Raises:
            NotifyError: Its template fails.
        """
        try:
            return self._templates.render(text, notification, target)
        except TemplateError as error:
            raise NotifyError(f"the template of {name} fails: {error}", retryable=False) from None

    def rendered_all(self, value: Any, name: str, notification: Notification) -> Any:
        """Return *value* with the actions in all its texts replaced, however deep they are.

        Raises:
            NotifyError: A template fails.
        """
        if isinstance(value, Secret):
            value = revealed(value, name)
        if isinstance(value, str):
            return self.rendered(value, name, notification)
        if isinstance(value, Mapping):
            return {
                self.rendered(str(key), name, notification): self.rendered_all(
                    item, f"{name}.{key}", notification
                )
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.rendered_all(item, name, notification) for item in value]
        return value
