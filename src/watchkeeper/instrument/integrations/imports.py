"""Being told when a module has been imported."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from watchkeeper.instrument.guard import record_failure

__all__ = ["ImportWatch"]


class ImportWatch(MetaPathFinder):
    """Calls functions right after the modules they wait for have run, once each.

    Stands in front of the other finders, lets them find the module, and wraps its loader for
    that one import. What goes wrong here never stops an import.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Callable[[], None]] = {}
        self._busy = threading.local()

    def after(self, name: str, callback: Callable[[], None]) -> None:
        """Call *callback* after the import of the module *name*."""
        self._waiting[name] = callback

    def forget(self, name: str) -> None:
        """Wait no more for the module *name*."""
        self._waiting.pop(name, None)

    def start(self) -> None:
        """Begin to watch."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Watch no more."""
        self._waiting.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have, with our loader around theirs."""
        del path, target
        if fullname not in self._waiting or getattr(self._busy, "on", False):
            return None
        self._busy.on = True
        try:
            spec = importlib.util.find_spec(fullname)
        except Exception:  # noqa: BLE001 - the import system asks the next finder, and reports
            return None
        finally:
            self._busy.on = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        spec.loader = _Announcing(spec.loader, lambda: self._imported(fullname))
        return spec

    def _imported(self, name: str) -> None:
        callback = self._waiting.pop(name, None)
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - never into the application
            record_failure("integrations.import", error)


class _Announcing(Loader):
    """A loader that says when it has run the module; then the module gets its own loader back."""

    def __init__(self, loader: Any, announce: Callable[[], None]) -> None:
        self._loader = loader
        self._announce = announce

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._announce()
