"""Writes the table of amtool's and our verdicts: ``python -m tests.conformance.amtool.page``."""

from __future__ import annotations

from tests.conformance.amtool.cases import CASES
from tests.conformance.amtool.verdicts import NEWER, corpus_verdicts
from tests.corpora import ROOT

PAGE = ROOT / "docs" / "reference" / "alertmanager-conformance.md"
_HEAD = """\
# alertmanager.yml against amtool

Generated from `tests/conformance/amtool`; do not edit. To write it anew:
`python -m tests.conformance.amtool.page`.

`watchkeeper routes check` beside `amtool check-config` of Alertmanager 0.25 (Debian 12), by exit
code: 0 for good, 1 for bad.
Where amtool 0.25 is too old for a file, what it does not know is named, and ours is the verdict of
Alertmanager's own test of the file.

## Alertmanager's own files

The files are those of Alertmanager's `config/testdata`.

| file | amtool 0.25 | watchkeeper | what amtool 0.25 does not know |
|---|--:|--:|---|
"""
_OWN = """
## Our own cases

{all} small files, each about one rule, have the exit code of amtool 0.25: {good} good ones and
{bad} bad ones.
So have good files in which a line, a name, a value or a character was changed, except where amtool
0.25 does not know a field.

## Where an alert goes

On random route trees and labels, `watchkeeper routes test` names the receivers that
`amtool config routes test` names, in the same order.
"""


def render() -> str:
    """Return the page for the command as it is."""
    lines = [
        f"| {one.file} | {one.amtool} | {one.ours} | {NEWER.get(one.file, '')} |"
        for one in corpus_verdicts()
    ]
    good = sum(case.good for case in CASES)
    own = _OWN.format(all=len(CASES), good=good, bad=len(CASES) - good)
    return _HEAD + "\n".join(lines) + "\n" + own


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
