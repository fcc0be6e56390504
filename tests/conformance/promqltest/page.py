"""Writes the table of promqltest results: ``python -m tests.conformance.promqltest.page``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.conformance.promqltest.runner import Outcome, outcomes
from tests.corpora import ROOT, corpus

PAGE = ROOT / "docs" / "reference" / "promql-conformance.md"
_TIERS = ("plain", "native", "experimental", "start time")
_HEAD = """\
# PromQL against Prometheus' own tests

Generated from `tests/conformance/promqltest`; do not edit. To write it anew:
`python -m tests.conformance.promqltest.page`.

The scripts are those of Prometheus 3.14 (`promql/promqltest/testdata`, a selection). Every case
runs as written; an instant case runs a second time as a range around its moment. Values may differ
by one part in a million, as in the reference harness.

- **plain**: stable PromQL over float samples and classic histograms. These must pass.
- **native**: reads or expects native histograms. watchkeeper stores none and refuses them.
- **experimental**: functions and syntax behind a feature flag. watchkeeper refuses them by name.
- **start time**: reads series with start timestamps, which watchkeeper does not keep.

Outside the plain tier a case is right when the value is right or the refusal is clear.
**Wrong** counts answers that differ from the expected one, in any tier.
"""
_COLUMNS = (
    "| script | cases | plain | plain passed | others passed | native refused "
    "| experimental refused | start time refused | wrong |"
)


def scripts() -> list[Path]:
    """Return the corpus' scripts by name."""
    return sorted(corpus("promqltest").glob("*.test"))


def _row(name: str, found: list[Outcome]) -> str:
    tally = Counter((one.tier, one.verdict) for one in found)
    cells = [name, str(len(found))]
    plain = sum(count for (tier, _), count in tally.items() if tier == "plain")
    cells += [str(plain), str(tally["plain", "pass"])]
    others = _TIERS[1:]
    cells.append(str(sum(tally[tier, "pass"] for tier in others)))
    cells += [str(tally[tier, "refused"]) for tier in others]
    cells.append(
        str(sum(tally[tier, verdict] for tier in _TIERS for verdict in ("wrong", "error")))
    )
    return f"| {' | '.join(cells)} |"


def render() -> str:
    """Return the page for the engine as it is."""
    found = {path.name: list(outcomes(path)) for path in scripts()}
    every = [one for some in found.values() for one in some]
    plain = [one for one in every if one.tier == "plain"]
    passed = sum(one.verdict == "pass" for one in plain)
    share = 100 * passed / len(plain)
    missed = [one for one in plain if one.verdict != "pass"]
    lines = [
        _HEAD,
        f"**{passed} of {len(plain)} plain cases pass ({share:.1f} %).**",
        "",
        _COLUMNS,
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(_row(name, some) for name, some in found.items()),
        _row("**all**", every),
        "",
        "Plain cases that do not pass: "
        + (", ".join(f"`{one.name}`" for one in missed) if missed else "none")
        + ".",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
