"""What clients see when the k-th call to a store fails, for every k: the one id, or 503, and afterwards the one id."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pytest_sessionguard import Tally
from sessionguard.store import SessionStore
from sessionguard.testing.client import RecordingClient
from sessionguard.testing.failing_store import FailingStore, Fault
from sessionguard.testing.history import Recorder, read
from sessionguard.testing.models import judge_conversations
from sessionguard.testing.scenario import scenario

IDLE = 2.0
AT_ONCE, FEWEST_CALLS = 29, 10


class FailureContract:
    """Subclass this as `Test...` and override `store` with a fixture that returns a fresh, empty store."""

    @pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
    @scenario
    async def test_whichever_call_fails_a_conversation_has_one_id(
        self, store: SessionStore, fault: Fault, tmp_path: Path, tally: Tally
    ) -> None:
        failed: list[bool] = []
        # How many calls there are nobody knows before: who takes long also has signs of life to write.
        while not failed or failed[-1]:
            calls = range(len(failed) + 1, len(failed) + 1 + AT_ONCE)
            failed += await _failing_each(store, fault, calls, tmp_path / f"history-{calls.start}")

        assert all(failed[:FEWEST_CALLS])
        tally.add("calls to a store that failed, none of which gave a conversation a second id", sum(failed))


async def _failing_each(store: SessionStore, fault: Fault, calls: range, history_path: Path) -> list[bool]:
    """Let each of these calls fail, for a client of its own; returns which of them there were.

    Fails if a conversation has a second id, or none in the end.
    """
    history = Recorder(history_path)
    calm = RecordingClient(store, history, idle=IDLE)
    await asyncio.gather(*(calm.resolve(f"stale-{k}") for k in calls))
    await asyncio.sleep(1.1 * IDLE)

    failed = await asyncio.gather(*(_with_failure(store, history, fault, k) for k in calls))
    answers = [await calm.resolve(f"{state}-{k}") for k in calls for state in ("stale", "new")]
    await calm.leave()
    history.close()

    for violation in judge_conversations(read([history_path]), int(IDLE * 1e9)):
        pytest.fail(str(violation))
    assert None not in answers
    return failed


async def _with_failure(store: SessionStore, history: Recorder, fault: Fault, k: int) -> bool:
    """Let the `k`th call fail while clients do everything they can; returns whether there was a `k`th call."""
    failing = FailingStore(store, lambda call: fault if call == k else None)
    client = RecordingClient(failing, history, idle=IDLE)
    for key in (f"stale-{k}", f"new-{k}"):
        await asyncio.gather(*(client.resolve(key) for _ in range(3)))
        await client.hand_off(key)
        await client.reset(key)
        await client.resolve(key)
    await client.leave()
    return failing.calls >= k
