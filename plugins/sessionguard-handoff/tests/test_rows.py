"""What a handoff leaves behind: nothing. Every test runs for the mark in the scope and for the headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sessionguard_handoff import INTERNAL

from sessionguard import hookimpl

VISIBLE = {"x-openclaw-session-key": "final-1779465436"}
BATCHED, AT_ONCE = 10, 120
"""Minutes since the last use, after which a visible request's touch is gathered, or written before the app runs."""


class StoreWatcher:
    def __init__(self) -> None:
        self.verbs: list[str] = []

    @hookimpl
    def sessionguard_store_called(self, verb: str) -> None:
        self.verbs.append(verb)


@pytest.fixture(params=["scope", "headers"])
def internally(request: pytest.FixtureRequest, serving: Any, handoff: dict[str, str]) -> Any:
    """Send requests as handoffs, in one way or the other; returns the answers and ends the guard's life."""

    async def send(times: int = 1, **options: Any) -> Sequence[dict[str, Any]]:
        marked = request.param == "scope"
        async with serving({"sessionguard.handoff": INTERNAL} if marked else {}, touch_interval=1, **options) as client:
            responses = [await client.get("/", headers=VISIBLE if marked else handoff) for _ in range(times)]
        return [response.json() for response in responses]

    return send


async def test_a_handoff_without_a_row_gets_an_ephemeral_id(internally: Any, converse: Any) -> None:
    """The id is one that no conversation has."""
    other_id = await converse(BATCHED, "another-conversation")
    [answer] = await internally()

    assert "ephemeral" == answer["origin"]
    assert answer["session_id"] not in ("", None, other_id)


async def test_two_handoffs_without_a_row_get_two_ids(internally: Any) -> None:
    """Nobody else ever gets an ephemeral id, not even the same conversation's next handoff."""
    first, second = await internally(times=2)

    assert first["session_id"] != second["session_id"]


async def test_a_handoff_without_a_row_leaves_the_rows_byte_identical(
    internally: Any, converse: Any, stored: Any, scanned: Any
) -> None:
    """No row is written for it, and none of another conversation is changed."""
    await converse(BATCHED, "another-conversation")
    before = stored(), await scanned()
    await internally()

    assert before == (stored(), await scanned())


async def test_a_handoff_joins_the_conversation_that_has_a_row(internally: Any, converse: Any) -> None:
    """Background work sees the memory of the visible conversation."""
    session_id = await converse(BATCHED)
    [answer] = await internally()

    assert ("existing", session_id) == (answer["origin"], answer["session_id"])


@pytest.mark.parametrize("minutes_ago", [BATCHED, AT_ONCE])
async def test_a_handoff_into_a_fresh_row_does_not_even_touch_it(
    internally: Any, converse: Any, stored: Any, scanned: Any, minutes_ago: int
) -> None:
    """The rows' bytes are the same after the guard has flushed and closed."""
    await converse(minutes_ago)
    before = stored(), await scanned()
    await internally(times=2)

    assert before == (stored(), await scanned())


@pytest.mark.parametrize("minutes_ago", [BATCHED, AT_ONCE])
async def test_a_visible_request_touches_the_row(serving: Any, converse: Any, stored: Any, minutes_ago: int) -> None:
    """The counterpart: the comparison of these tests does see a touch."""
    await converse(minutes_ago)
    before = stored()
    async with serving(touch_interval=1) as client:
        await client.get("/", headers=VISIBLE)

    assert before != stored()


async def test_a_handoff_into_a_stale_row_gets_an_ephemeral_id(internally: Any, converse: Any) -> None:
    """A conversation that is over is not joined."""
    await converse(AT_ONCE)
    [answer] = await internally(reset="idle=60m")

    assert "ephemeral" == answer["origin"]


async def test_a_handoff_does_not_replace_a_stale_row(internally: Any, converse: Any, stored: Any) -> None:
    """Only a visible request starts a conversation anew."""
    await converse(AT_ONCE)
    before = stored()
    await internally(reset="idle=60m")

    assert before == stored()


@pytest.mark.parametrize("has_row", [True, False], ids=["a row", "no row"])
async def test_a_handoff_costs_one_read_and_nothing_else(internally: Any, converse: Any, has_row: bool) -> None:
    """No other verb of the store is called, on the request or behind it."""
    watcher = StoreWatcher()
    if has_row:
        await converse(AT_ONCE)
    await internally(plugins=[watcher])

    assert ["get"] == watcher.verbs
