"""Runs the examples of one documentation page, in a process of their own, and says what came of it.

``python page.py SCRIPT RESULT`` executes SCRIPT as a program of the reader's would be, then writes
the exposition of the metrics to RESULT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import watchkeeper


def main(script: Path, result: Path) -> None:
    """Execute *script*, deliver its telemetry, and write its metrics to *result*."""
    code = compile(script.read_text(encoding="utf-8"), str(script), "exec")
    # Kept until the end, as a program's own names are: a pool that nobody holds has no metrics.
    names = {"__name__": "__main__", "__file__": str(script)}
    exec(code, names)  # noqa: S102 - the page's own code
    runtime = watchkeeper.current()
    if runtime is not None:
        result.write_bytes(runtime.metrics.scrape()[0])
        watchkeeper.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
