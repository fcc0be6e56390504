"""The redactor that is in force in this process, for code that is not handed one."""

from __future__ import annotations

from watchkeeper.instrument.redaction.redactor import Redactor

__all__ = ["active", "cut", "is_secret", "query", "use"]


class _InForce:
    """Until `watchkeeper.configure` says otherwise: the defaults."""

    def __init__(self) -> None:
        self.redactor = Redactor()


_NOW = _InForce()


def use(redactor: Redactor | None) -> None:
    """Put *redactor* in force; None goes back to the defaults."""
    _NOW.redactor = Redactor() if redactor is None else redactor


def active() -> Redactor:
    """Return the redactor in force."""
    return _NOW.redactor


def is_secret(name: str) -> bool:
    """Tell whether the value under *name* must be masked."""
    return _NOW.redactor.is_secret(name)


def query(text: str) -> str:
    """Return a URL's query string with the values of secret names masked.

    Names are compared after percent-decoding; the rest of the text stays as it was.
    """
    return _NOW.redactor.query(text)


def cut(text: str, chars: int) -> str:
    """Return *text* if it has at most *chars* characters, else its beginning without secrets.

    What is short enough is scanned when it leaves the process. What is cut has to be scanned before,
    since the first half of a secret can no longer be recognised.
    """
    return text if len(text) <= chars else _NOW.redactor.cut(text, chars)
