"""A library that cannot be instrumented for want of a package; that is no failure of ours."""

from __future__ import annotations

__all__ = ["MissingPackage"]


class MissingPackage(Exception):  # noqa: N818 - it says what it is
    """Raised by an integration that needs a package which is not installed.

    Args:
        name: Name of the integration.
        package: What to install, as pip takes it.
    """

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.package = package
        super().__init__(f"{name} is not traced, for the package {package} is missing")

    @property
    def fix(self) -> str:
        """The command that mends it."""
        return f"pip install {self.package}"
