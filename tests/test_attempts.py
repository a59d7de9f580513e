"""Every call to a store ends, and those who watch hear how."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from sessionguard import ConfigurationError, CorruptRecord, StoreUnavailable
from sessionguard.attempts import StoreAttempts
from sessionguard.stores.memory import MemoryStore


class Moody(MemoryStore):
    """Does whatever it is told to do first."""

    def __init__(self, mood: Any = None) -> None:
        super().__init__()
        self.mood = mood
        self.asked = asyncio.Event()

    async def get(self, key: str) -> Any:
        self.asked.set()
        if isinstance(self.mood, Exception):
            raise self.mood
        if self.mood is not None:
            await self.mood.wait()
        return await super().get(key)


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


@pytest.mark.parametrize(
    ("mood", "outcome", "raised"),
    [
        (None, "ok", None),
        (CorruptRecord("row"), "session_record_corrupt", CorruptRecord),
        (StoreUnavailable("down"), "session_store_unavailable", StoreUnavailable),
        (ConnectionError("refused"), "session_store_unavailable", StoreUnavailable),
        (ConfigurationError("not ours"), "session_store_unavailable", StoreUnavailable),
    ],
)
async def test_every_outcome_has_a_name(mood: Any, outcome: str, raised: type[Exception] | None) -> None:
    """Exceptions the contract does not know mean that there is no answer."""
    told: list[tuple[str, str, float]] = []
    attempts = StoreAttempts(Moody(mood), lambda *call: told.append(call))
    if raised is None:
        await attempts.get("key", soon())
    else:
        with pytest.raises(raised):
            await attempts.get("key", soon())

    assert [call[:2] for call in told] == [("get", outcome)]
    assert told[0][2] >= 0


async def test_a_call_without_an_answer_ends_with_the_deadline() -> None:
    """And the call itself is cancelled."""
    told: list[tuple[str, str, float]] = []
    attempts = StoreAttempts(Moody(asyncio.Event()), lambda *call: told.append(call))
    with pytest.raises(StoreUnavailable, match="in time"):
        await attempts.get("key", soon(0.05))
    await asyncio.sleep(0)

    assert told[0][1] == "session_store_unavailable"
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_caller_is_cancelled_and_told_as_such() -> None:
    """Cancellation is never swallowed."""
    told: list[tuple[str, str, float]] = []
    store = Moody(asyncio.Event())
    attempts = StoreAttempts(store, lambda *call: told.append(call))
    task = asyncio.ensure_future(attempts.get("key", soon()))
    await store.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert told[0][1] == "cancelled"


async def test_a_reason_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is one line, not one per request; the cure of a wrong configuration is in it."""
    caplog.set_level(logging.ERROR, "sessionguard")
    store = Moody(ConfigurationError("run: chmod 700"))
    attempts = StoreAttempts(store)
    for mood in (store.mood, store.mood, ConnectionError("refused")):
        store.mood = mood
        with pytest.raises(StoreUnavailable):
            await attempts.get("key", soon())

    assert [record.message for record in caplog.records] == [
        "the session store cannot be used: run: chmod 700",
        "the session store cannot be used: ConnectionError('refused')",
    ]
