"""What an application did, written where the test that started its process can read it."""

from __future__ import annotations

import os
from pathlib import Path


def note(event: str) -> None:
    """Append `event` to the file that APP_JOURNAL names."""
    with Path(os.environ["APP_JOURNAL"]).open("a") as journal:
        journal.write(f"{event}\n")
