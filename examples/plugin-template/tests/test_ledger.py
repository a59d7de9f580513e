"""The store by the standard of every store, found by its URL as its users find it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sessionguard_ledger.store import LedgerStore

from sessionguard import ConfigurationError, SessionGuard, SessionStore
from sessionguard.testing import AppProbe, Exchange, SessionStoreContract


class TestLedgerStore(SessionStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return LedgerStore(tmp_path / "sessions.json")


async def test_requests_that_arrive_together_are_one_conversation(tmp_path: Path) -> None:
    guard = SessionGuard(AppProbe(), store=f"ledger://{tmp_path}/sessions.json")
    key = (b"x-openclaw-session-key", b"my-chat")
    exchanges = await asyncio.gather(*(Exchange(guard, [key]).run() for _ in range(5)))

    assert [each.headers["x-sessionguard-status"] for each in exchanges].count("new") == 1


@pytest.mark.parametrize("url", ["ledger:", "ledger://host/file", "ledger:///file?mode=fast"])
def test_a_url_that_names_no_file_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write ledger:///"):
        SessionGuard(AppProbe(), store=url)
