"""The README's text, and the commands in it."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
COMMANDS = re.findall(r"```console\n(.*?)\n```", README, re.DOTALL)
