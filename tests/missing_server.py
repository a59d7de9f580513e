"""What a suite says on a machine that has no server for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def said_without_it(test: Path, hiding: str, ci: str, directory: Path) -> str:
    """Run a test, `file.py::name`, of the suite whose servers the program `hiding` hides; `directory` is empty."""
    (directory / "nowhere.py").write_text(hiding)
    paths = (directory, test.parent, ROOT / "tests", os.environ.get("PYTHONPATH", ""))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "CI": ci}
    command = [sys.executable, "-m", "pytest", "-p", "nowhere", "-p", "no:cacheprovider", "-rs", str(test)]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False).stdout
