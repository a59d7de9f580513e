"""Records as a handler with the filter gets them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sessionguard_logging import SessionFilter

Seen = list[tuple[str, str, str, str]]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test, and no test reaches the user's own state directory."""
    for name in [name for name in os.environ if name.startswith("SESSIONGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Keeping(logging.Handler):
    """A handler that keeps message, id, origin and hash of every record."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen = []
        self.addFilter(SessionFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.getMessage(), record.session_id, record.session_origin, record.session_key_hash))


@pytest.fixture
def seen() -> Iterator[Seen]:
    """What the handler of the logger `agent` has got."""
    handler = Keeping()
    log = logging.getLogger("agent")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler.seen
    log.removeHandler(handler)
