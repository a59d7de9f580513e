"""The README's text, its blocks, and a shell to run them in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def block(language: str, word: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and word in text]
    return found


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line as somebody who has activated the environment, and not as a developer of Python programs."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        line,
        shell=True,
        env={**os.environ, "PYTHONDEVMODE": "", "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )
