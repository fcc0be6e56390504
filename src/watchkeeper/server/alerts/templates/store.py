"""The templates of a configuration: the default ones, those of its files, and texts that use them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from watchkeeper.server.alerts.notification import Notification
from watchkeeper.server.alerts.templates.data import data_of
from watchkeeper.server.alerts.templates.defaults import DEFAULTS
from watchkeeper.server.alerts.templates.engine import Target, expanded
from watchkeeper.server.alerts.templates.parser import parsed
from watchkeeper.server.rules.template_parser import Node, TemplateError
from watchkeeper.vocabulary.limits import limit

__all__ = ["TemplateError", "Templates", "check_text"]


def check_text(text: str) -> None:
    """Raise `TemplateError` unless *text* parses and names known functions and variables."""
    if "{{" in text:
        _parsed(text)


class Templates:
    """Templates by name, ready to be used by texts.

    Args:
        patterns: Paths or patterns of files, ``*`` and ``?`` in them; one that no file fits is
            allowed. Later files take precedence, all of them before the default templates.
        base: Folder that relative ones begin at; by default the current one.

    Raises:
        TemplateError: A file cannot be read, is too large, or does not parse; names the file.
    """

    def __init__(self, patterns: Sequence[str] = (), base: str | Path = "") -> None:
        self._defined: dict[str, tuple[Node, ...]] = dict(_parsed(DEFAULTS)[1])
        self._own: set[str] = set()
        for pattern in patterns:
            # Patterns may be absolute, which Path.glob does not take.
            for name in sorted(glob.glob(str(Path(base) / pattern))):  # noqa: PTH207
                self._load(Path(name))

    def overrides(self, name: str) -> bool:
        """Tell whether a file defines the template called *name*."""
        return name in self._own

    def render(self, text: str, notification: Notification, target: Target = "text") -> str:
        """Return *text* with its actions replaced.

        Args:
            text: A template.
            notification: What it may speak of.
            target: Where the result goes, which decides how values are escaped.

        Raises:
            TemplateError: It does not parse, or its expansion fails.
        """
        if "{{" not in text:
            return text
        nodes, defined = _parsed(text)
        known = {**self._defined, **defined} if defined else self._defined
        return expanded(nodes, known, data_of(notification), target)

    def _load(self, path: Path) -> None:
        try:
            nodes, defined = _parsed(_content(path))
        except OSError as error:
            raise TemplateError(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TemplateError(f"{path}: is not UTF-8 text") from None
        except TemplateError as error:
            raise TemplateError(f"{path}: {error}") from None
        self._defined.update(defined)
        self._defined[path.name] = nodes
        self._own.update(defined)


def _content(path: Path) -> str:
    most = limit("template_file_bytes_max")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TemplateError(f"the template file is larger than {most} bytes")
    return content.decode()


@lru_cache(maxsize=512)
def _parsed(text: str) -> tuple[tuple[Node, ...], dict[str, tuple[Node, ...]]]:
    return parsed(text)
