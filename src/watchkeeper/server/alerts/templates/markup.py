"""Puts values into HTML such that they are shown and nothing else, wherever they stand.

A value may stand in text, or in the quoted or unquoted value of an attribute; in an address its
scheme is looked at. Elsewhere (in a script, a style, a comment, a name) a value is refused: there,
no escaping is right for every value.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from watchkeeper.server.rules.template_parser import TemplateError

__all__ = ["Html"]

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "+": "&#43;"}
_BARE = {**_ESCAPES, **{one: f"&#{ord(one)};" for one in " \t\n\r\f=`"}}
_VALUE = re.compile(r"""([\w:.-]+)\s*=\s*("[^"]*|'[^']*|[^\s"'>]*)\Z""")
_RAW = re.compile(r"<(script|style|textarea|title|xmp|iframe|noscript)\b", re.IGNORECASE)
_ADDRESSES = frozenset({
    "action", "background", "cite", "data", "formaction", "href", "poster", "src", "xlink:href",
})  # fmt: skip
_SCHEMES = frozenset({"http", "https", "mailto"})
_TAIL_MAX = 8_192


class Html:
    """Follows a document as it is written."""

    def __init__(self) -> None:
        self._tag = ""
        """The open tag from its ``<``, or nothing outside of tags."""
        self._raw = ""
        """The element in which markup is not markup, or nothing."""

    def markup(self, text: str) -> str:
        """Note *text* of the template itself, and return it."""
        rest = text
        while rest:
            if self._raw:
                end = "-->" if self._raw == "--" else rf"</{self._raw}\s*>"
                closing = re.search(end, rest, re.IGNORECASE)
                if closing is None:
                    return text
                self._raw, rest = "", rest[closing.end() :]
            elif self._tag:
                at = _tag_end(self._tag, rest)
                if at < 0:
                    self._tag = (self._tag + rest)[-_TAIL_MAX:]
                    return text
                opened = _RAW.match(self._tag + rest[:at])
                self._raw = opened[1] if opened else ""
                self._tag, rest = "", rest[at + 1 :]
            else:
                at = rest.find("<")
                if at < 0:
                    return text
                rest = rest[at:]
                if rest.startswith("<!--"):
                    self._raw, rest = "--", rest[4:]
                else:
                    self._tag, rest = "<", rest[1:]
        return text

    def value(self, text: str) -> str:
        """Return *text* escaped for where the document stands.

        Raises:
            TemplateError: No value may stand there.
        """
        if self._raw in {"title", "textarea"} or (not self._raw and not self._tag):
            return _with(text, _ESCAPES)
        if self._raw:
            where = "comment" if self._raw == "--" else f"<{self._raw}>"
            raise TemplateError(f"a value stands in a {where}: move it into the text")
        found = _VALUE.search(self._tag)
        if found is None:
            raise TemplateError("a value stands in a tag outside of an attribute's value")
        name, before = found[1].lower(), found[2]
        if name.startswith("on") or name in {"style", "srcdoc"}:
            raise TemplateError(
                f"a value stands in the attribute {name}: no escaping is safe there"
            )
        if name in _ADDRESSES:
            text = (
                _address(text) if before in {"", '"', "'"} else quote(text, safe="%:/?#&=~-._+@;,")
            )
        quoted = before[:1] in {'"', "'"}
        safe = _with(text, _ESCAPES if quoted else _BARE)
        # What was put in is escaped and changes nothing about the place; one letter stands for it.
        self._tag += "x" if safe else ""
        return safe


def _with(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(one, one) for one in text.replace("\0", "\ufffd"))


def _address(text: str) -> str:
    # As html/template judges: what stands before the first colon and any slash is the scheme.
    before, colon, _ = text.strip().partition(":")
    if colon and "/" not in before and before.lower() not in _SCHEMES:
        return "#"
    return quote(text.strip(), safe="%:/?#[]@!$&()*+,;=~-._")


def _tag_end(tag: str, rest: str) -> int:
    """Return where the tag ends in *rest*, quotes respected; -1 if it does not."""
    mark = ""
    for one in tag:
        mark = _quote_after(mark, one)
    for at, one in enumerate(rest):
        if one == ">" and not mark:
            return at
        mark = _quote_after(mark, one)
    return -1


def _quote_after(mark: str, one: str) -> str:
    if mark:
        return "" if one == mark else mark
    return one if one in {'"', "'"} else ""
