"""What makes ``watchkeeper.instrument`` both the package and a function.

`watchkeeper.instrument` names this package, and is also what users call to instrument libraries. A
function in its place would hide the package from ``import watchkeeper.instrument.x as y``; so the
package itself can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from watchkeeper.instrument import configure

__all__ = ["instrument"]


class _CallablePackage(ModuleType):
    """The package `watchkeeper.instrument`, which can be called."""

    def __call__(self, *names: str) -> tuple[str, ...]:
        """See `watchkeeper.instrument.configure.instrument`."""
        return configure.instrument(*names)


if TYPE_CHECKING:
    instrument = configure.instrument
else:
    instrument = sys.modules["watchkeeper.instrument"]
    instrument.__class__ = _CallablePackage
