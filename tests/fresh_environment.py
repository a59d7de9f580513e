"""Fresh virtual environments, in which install lines are run as they stand; uv installs like pip, and faster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import uv

CHECKOUT = Path(__file__).parents[1]


class FreshEnvironment:
    """A virtual environment that sees nothing of the one the tests run in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("SESSIONGUARD_")}
        self._environ |= {"VIRTUAL_ENV": str(directory)}
        self._uv("venv", "--python", sys.executable, str(directory))

    def install(self, line: str, *others: str, directory: Path = CHECKOUT) -> None:
        """Run a line that begins with `pip install`, in the checkout or elsewhere; `others` are installed with it."""
        pip, install, *arguments = line.split()
        assert (pip, install) == ("pip", "install")
        # uv would take an earlier build of a directory, as long as its pyproject.toml is the same.
        names = [(directory / each.partition("[")[0]).resolve() for each in arguments if each.startswith((".", "/"))]
        rebuilt = [f"--refresh-package={'sessionguard' if name == CHECKOUT else name.name}" for name in names]
        self._uv("pip", install, *rebuilt, *arguments, *others, directory=directory)

    def uninstall(self, name: str) -> None:
        self._uv("pip", "uninstall", name)

    def run(self, *arguments: str) -> str:
        """Run the environment's Python away from the checkout; returns its output."""
        run = subprocess.run(
            [self.python, *arguments],
            cwd=self.directory,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def _uv(self, *arguments: str, directory: Path = CHECKOUT) -> None:
        command = [uv.find_uv_bin(), *arguments, "--quiet"]
        run = subprocess.run(
            command, cwd=directory, env=self._environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert run.returncode == 0, run.stderr
