"""Records as a handler with the filter gets them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from clean_environment import clean_environment  # noqa: F401 - a fixture
from isolation import only
from sessionguard_logging import SessionFilter

only_logging = only("logging")

Seen = list[tuple[str, str, str, str]]


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
