"""Redaction: what must not leave the process in a log line or a span.

One redactor for everything: `Redactor.text` for free text, `Redactor.named` for a value under a name.
Log lines pass it when they are written, spans when they are encoded in the background, and only
where the encoder does not know the value yet. A marker never holds a part of the secret, nor its
length, unless the mode ``partial`` was asked for.
"""

from watchkeeper.instrument.redaction.active import active, cut, is_secret, query, use
from watchkeeper.instrument.redaction.redactor import HARMLESS_CHARS, MARGIN, MASK, Off, Redactor
from watchkeeper.instrument.redaction.rules import KINDS

__all__ = [
    "HARMLESS_CHARS",
    "KINDS",
    "MARGIN",
    "MASK",
    "Off",
    "Redactor",
    "active",
    "cut",
    "is_secret",
    "query",
    "use",
]
