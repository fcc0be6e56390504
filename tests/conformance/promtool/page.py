"""Writes the table of promtool's and our verdicts: ``python -m tests.conformance.promtool.page``."""

from __future__ import annotations

from tests.conformance.promtool.cases import CASES
from tests.conformance.promtool.verdicts import NEWER, corpus_verdicts, own_verdicts
from tests.corpora import ROOT

PAGE = ROOT / "docs" / "reference" / "rules-conformance.md"
_HEAD = """\
# Rule files and their tests against promtool

Generated from `tests/conformance/promtool`; do not edit. To write it anew:
`python -m tests.conformance.promtool.page`.

`watchkeeper rules check` and `watchkeeper rules test` beside `promtool check rules` and
`promtool test rules` of Prometheus 2.42 (Debian 12), by exit code: 0 for good, 1 for bad.
Where promtool 2.42 is too old for a file, the reason is given, and ours is what the file's authors
expect.

## Prometheus' own files

The files are those of Prometheus' `cmd/promtool/testdata` (a selection, without the rule files that
some of the tests name) and `model/rulefmt/testdata`.

| command | file | promtool 2.42 | watchkeeper | why they differ |
|---|---|--:|--:|---|
"""
_OWN = """
## Our own cases

{equal} of {all} test files, each about one behaviour, have the exit code of promtool 2.42:
{good} good ones and {bad} bad ones. The others use what it does not know:

| case | promtool 2.42 | watchkeeper | why they differ |
|---|--:|--:|---|
"""


def render() -> str:
    """Return the page for the commands as they are."""
    lines = [_HEAD.rstrip("\n")]
    for one in corpus_verdicts():
        newer = NEWER.get((one.command, one.file))
        lines.append(
            f"| `{one.command}` | {one.file} | {one.promtool} | {one.ours} "
            f"| {newer.reason if newer else ''} |"
        )
    own = own_verdicts()
    equal = [one for one, case in zip(own, CASES, strict=True) if case.newer is None]
    good = sum(one.ours == 0 for one in equal)
    lines.append(
        _OWN.format(
            equal=len(equal), all=len(own), good=good, bad=len(equal) - good
        ).rstrip("\n")
    )  # fmt: skip
    lines += [
        f"| {one.file} | {one.promtool} | {one.ours} | {case.reason} |"
        for one, case in zip(own, CASES, strict=True)
        if case.newer is not None
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
