"""The turnstile by itself: event loops that end, forks, memory, and when to come again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from sessionguard_turns.lane import Holding, Place
from sessionguard_turns.lengths import LATEST, SOONEST, TurnLengths
from sessionguard_turns.settings import Mode
from sessionguard_turns.turnstile import Turnstile

CHAT = "a-session-id"

FAMILY = """
import json, os
from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.settings import Mode
from sessionguard_turns.turnstile import Turnstile

turnstile = Turnstile(queue_limit=10, total_limit=10)
turnstile.enter("a-session-id", Mode.WAIT, set())

def may_enter():
    try:
        turnstile.enter("a-session-id", Mode.REJECT, set())
    except SessionBusy:
        return False
    return True

child = os.fork()
if not child:
    os._exit(int(may_enter()))
print(json.dumps([bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), may_enter()]))
"""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile(queue_limit=10, total_limit=10, clock=Clock())


def entered(turnstile: Turnstile, mode: Mode = Mode.WAIT) -> Holding:
    holding = turnstile.enter(CHAT, mode, set())
    assert isinstance(holding, Holding)
    return holding


def test_the_place_of_an_event_loop_that_has_ended_is_passed_over(turnstile: Turnstile) -> None:
    """Nobody would ever take the turn, and the others would wait for ever."""
    holding = entered(turnstile)

    async def queue_up() -> None:
        turnstile.enter(CHAT, Mode.WAIT, set())

    async def wait() -> Place:
        place = turnstile.enter(CHAT, Mode.WAIT, set())
        assert isinstance(place, Place)
        assert turnstile.leave(CHAT, holding)
        turnstile.hand_on(CHAT, holding)
        await asyncio.wait_for(place.admitted, 5)
        return place

    asyncio.run(queue_up())
    place = asyncio.run(wait())
    assert place.holding is not None
    assert turnstile.leave(CHAT, place.holding)
    turnstile.hand_on(CHAT, place.holding)

    assert 0 == len(turnstile)


async def test_a_first_turn_that_has_settled_ends_nobody_elses(turnstile: Turnstile) -> None:
    """The next turn began when it settled; its own end comes later and changes nothing."""
    first = entered(turnstile, Mode.FIRST)
    second = turnstile.enter(CHAT, Mode.WAIT, set())
    third = turnstile.enter(CHAT, Mode.WAIT, set())
    turnstile.settle(CHAT, first)
    assert turnstile.leave(CHAT, first)
    turnstile.hand_on(CHAT, first)
    await asyncio.sleep(0)

    assert isinstance(second, Place)
    assert isinstance(third, Place)
    assert [True, False] == [second.admitted.done(), third.admitted.done()]


def test_established_conversations_are_kept_within_a_bound(
    turnstile: Turnstile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most twice the size, the latest among them."""
    monkeypatch.setattr(turnstile.established, "_size", 10)
    for number in range(100):
        holding = turnstile.enter(f"chat-{number}", Mode.FIRST, set())
        assert isinstance(holding, Holding)
        turnstile.settle(f"chat-{number}", holding)
        assert turnstile.leave(f"chat-{number}", holding)
        turnstile.hand_on(f"chat-{number}", holding)

    kept = {*turnstile.established, *turnstile.established.older}
    assert 10 <= len(kept) <= 20
    assert {f"chat-{number}" for number in range(90, 100)} <= kept


def test_a_forked_child_has_none_of_its_parents_turns() -> None:
    """They run in the parent, and nobody in the child would ever end them."""
    assert [True, False] == json.loads(subprocess.check_output([sys.executable, "-c", FAMILY], text=True, timeout=30))


@pytest.mark.parametrize(
    ("typical", "age", "ahead", "seconds"),
    [
        (10, 0, 0, 10),
        (10, 4, 0, 6),
        (10, 9.5, 0, SOONEST),
        (10, 12, 0, 10),
        (10, 4, 1, 16),
        (10, 0, 9, LATEST),
        (0.001, 0, 0, SOONEST),
        (600, 0, 0, LATEST),
    ],
)
def test_retry_after_is_an_estimate_within_bounds(typical: float, age: float, ahead: int, seconds: int) -> None:
    """From the typical turn, the age of the one under way, and how many are before."""
    lengths = TurnLengths()
    lengths.typical = typical

    assert seconds == lengths.retry_after(age, ahead)


def test_the_typical_turn_is_learnt() -> None:
    """From those that have ended, the latest most."""
    lengths = TurnLengths()
    for _ in range(50):
        lengths.note(20)

    assert 20 == lengths.retry_after(0, 0)
