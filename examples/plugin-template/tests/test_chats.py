"""What the policy promises, through a guard that has found it installed."""

from __future__ import annotations

import pytest

from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> SessionGuard:
    monkeypatch.setenv("SESSIONGUARD_CHAT_HEADER", "X-Chat-Id")
    return SessionGuard(AppProbe(), store="memory:")


async def test_a_chat_is_a_conversation(guard: SessionGuard) -> None:
    exchanges = [await Exchange(guard, [(b"x-chat-id", chat)]).run() for chat in (b"red", b"blue", b"red")]

    assert [each.headers["x-sessionguard-status"] for each in exchanges] == ["new", "new", "existing"]


async def test_a_session_key_still_names_one(guard: SessionGuard) -> None:
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", b"my-chat")]).run()

    assert exchange.headers["x-sessionguard-status"] == "new"


async def test_a_chat_that_is_no_legal_key_is_refused(guard: SessionGuard) -> None:
    exchange = await Exchange(guard, [(b"x-chat-id", b"cron:nightly")]).run()

    assert exchange.status == 400
