"""Prometheus text and OpenMetrics pages into samples, quickly.

A page repeats the same series scrape after scrape, so a series' text is parsed once and then
looked up: reading a page again costs little more than splitting its lines.
Formats: Prometheus documentation, "Exposition formats"; OpenMetrics 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from watchkeeper.errors import PayloadError
from watchkeeper.server.series import Exemplar, Labels, sorted_labels
from watchkeeper.server.store.rows import Family, Sample
from watchkeeper.vocabulary.limits import limit

__all__ = ["Page", "PageReader"]

_LABELS = r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}'
_LINE = re.compile(
    rf"(?P<series>[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*(?:{_LABELS})?)[ \t]*"
    r"(?P<value>\S+)(?:[ \t]+(?P<time>[^\s#]\S*))?"
    rf"(?:[ \t]+#[ \t]+(?P<exemplar>{_LABELS})[ \t]+(?P<exemplar_value>\S+)"
    r"(?:[ \t]+(?P<exemplar_time>\S+))?)?[ \t]*"
)
_PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPE = re.compile(r'\\[\\"n]')


@dataclass(slots=True)
class Page:
    """What one page holds."""

    samples: list[Sample] = field(default_factory=list)
    exemplars: list[Exemplar] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)


class PageReader:
    """Reads the pages of one target, scrape after scrape.

    Args:
        target_labels: Added to every series; a label of the same name on the page becomes
            ``exported_<name>``, as with Prometheus' ``honor_labels: false``.
    """

    def __init__(self, target_labels: Mapping[str, str]) -> None:
        self._target_labels = dict(target_labels)
        self._known: dict[str, Labels] = {}
        self._comments: list[str] = []
        self._families: list[Family] = []

    def read(self, page: str, t_ms: int, *, openmetrics: bool = False) -> Page:
        """Parse a page.

        Args:
            page: The text.
            t_ms: Time of the scrape, Unix milliseconds, for samples that carry none.
            openmetrics: Whether the page is OpenMetrics: times are seconds, and ``# EOF`` ends it.

        Raises:
            PayloadError: A line is not in the format; the message names it.
            PayloadError: A limit is crossed: samples, labels of a series, length of a value.
        """
        if openmetrics and not page.endswith(("# EOF\n", "# EOF")):
            raise PayloadError(
                "the page ends too early: got no '# EOF'. Accepted: a whole OpenMetrics page. "
                "Next: check what the target exposes."
            )
        result = Page()
        samples, known, comments = result.samples, self._known, []
        for number, line in enumerate(page.split("\n"), 1):
            if not line:
                continue
            if line[0] == "#":
                comments.append(line)
                continue
            series, _, text = line.rpartition(" ")
            labels = known.get(series)
            if labels is None:
                self._read_line(line, number, t_ms, openmetrics, result)
                continue
            try:
                samples.append(Sample(labels, t_ms, float(text)))
            except ValueError:
                raise _wrong(number, line) from None
        if len(samples) > limit("scrape_samples_max"):
            raise PayloadError(
                f"page has too many samples: got {len(samples)}. "
                f"Accepted: up to {limit('scrape_samples_max')} (scrape_samples_max). "
                "Next: expose fewer series."
            )
        if len(known) > 2 * len(samples) + 1_000:
            known.clear()  # most of it is gone from the page; the next scrape learns it anew
        if comments != self._comments:
            self._comments, self._families = comments, _families(comments)
        result.families = self._families
        return result

    def _read_line(
        self,
        line: str,
        number: int,
        t_ms: int,
        openmetrics: bool,  # noqa: FBT001 - passed through
        result: Page,
    ) -> None:
        """Parse a line whose series is new, or that carries a time or an exemplar."""
        if line.isspace():
            return
        match = _LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise _wrong(number, line)
        series, value, time, exemplar = match.group("series", "value", "time", "exemplar")
        series = series.rstrip()
        labels = self._known.get(series)
        if labels is None:
            labels = self._known[series] = self._labels(series, number, line)
        at = t_ms if time is None else _time_ms(time, 1000 if openmetrics else 1, number, line)
        result.samples.append(Sample(labels, at, _number(value, number, line)))
        if exemplar is not None:
            result.exemplars.append(self._exemplar(labels, match, at, number))

    def _labels(self, series: str, number: int, line: str) -> Labels:
        name, brace, rest = series.partition("{")
        pairs = _pairs(rest[:-1], number, line) if brace else {}
        if len(pairs) > limit("label_count_max"):
            raise PayloadError(
                f"series has too many labels: got {len(pairs)} in line {number}. "
                f"Accepted: up to {limit('label_count_max')} (label_count_max). Next: drop some."
            )
        for key, value in self._target_labels.items():
            if key in pairs:
                pairs[f"exported_{key}"] = pairs[key]
            pairs[key] = value
        return sorted_labels({"__name__": name.strip(), **pairs})

    def _exemplar(self, series: Labels, match: re.Match[str], at: int, number: int) -> Exemplar:
        text, value, time = match.group("exemplar", "exemplar_value", "exemplar_time")
        return Exemplar(
            series,
            sorted_labels(_pairs(text[1:-1], number, match.string)),
            at if time is None else _time_ms(time, 1000, number, match.string),
            _number(value, number, match.string),
        )


def _pairs(text: str, number: int, line: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    most = limit("label_value_chars_max")
    at = 0
    text = text.strip()
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None or match.group(1) in pairs:
            raise _wrong(number, line)
        value = match.group(2)
        if "\\" in value:
            value = _ESCAPE.sub(lambda found: _ESCAPES[found.group()], value)
        if len(value) > most:
            raise PayloadError(
                f"label value too long: got {len(value)} characters for {match.group(1)!r} in "
                f"line {number}. Accepted: up to {most} (label_value_chars_max). Next: shorten it."
            )
        pairs[match.group(1)] = value
        at = match.end()
    return pairs


def _families(comments: list[str]) -> list[Family]:
    """Return the metadata in the comment lines of a page."""
    facts: dict[str, dict[str, str]] = {}
    for line in comments:
        parts = line.split(None, 3)
        if len(parts) >= 3 and parts[1] in ("HELP", "TYPE", "UNIT"):
            text = parts[3].strip() if len(parts) > 3 else ""
            if parts[1] == "HELP":
                text = _ESCAPE.sub(lambda found: _ESCAPES[found.group()], text)
            facts.setdefault(parts[2], {})[parts[1].lower()] = text
    return [
        Family(name, f.get("type", "unknown"), f.get("help", ""), f.get("unit", ""))
        for name, f in facts.items()
    ]


def _number(text: str, number: int, line: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong(number, line) from None


def _time_ms(text: str, unit_ms: int, number: int, line: str) -> int:
    try:
        return round(float(text) * unit_ms)
    except (ValueError, OverflowError):
        raise _wrong(number, line) from None


def _wrong(number: int, line: str) -> PayloadError:
    return PayloadError(
        f"line {number} of the page is not a sample: got {line[:120]!r}. "
        'Accepted: name{label="value"} number. Next: check what the target exposes.'
    )
