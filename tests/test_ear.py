"""The ear at a store: who listens is called, and knows when nothing is heard."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sessionguard import ear
from sessionguard.ear import Ear, Tell


class Voice:
    """A store that says what the test says; every time it is heard, it begins anew."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.tell: Tell = lambda _: None
        self._begun = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def hear(self, tell: Tell) -> None:
        self.heard.append("begins")
        self._begun.set()
        self.tell = tell
        self._failure = asyncio.get_running_loop().create_future()
        try:
            await self._failure
        finally:
            self.heard.append("ends")

    async def begins(self) -> None:
        """Wait until somebody hears it, and say that nothing is missed from now on."""
        await asyncio.wait_for(self._begun.wait(), 10)
        self._begun.clear()
        self.tell(None)

    def fails(self, reason: str) -> None:
        self._failure.set_exception(OSError(reason))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ear, "SHORTEST_PAUSE", 0.01)


@pytest.fixture
async def voice() -> Voice:
    return Voice()


@pytest.fixture
async def listener(voice: Voice):
    """An ear at the voice, closed in the end."""
    listener = Ear(voice.hear)
    yield listener
    await listener.aclose()


async def test_whoever_is_called_hears_it_and_nobody_else(voice: Voice, listener: Ear) -> None:
    """By the name of the owner; one that nobody knows here is somebody's elsewhere."""
    one, other = listener.listen("one"), listener.listen("other")
    await voice.begins()
    coming = one.coming(), other.coming()
    voice.tell("one")
    voice.tell("one")
    voice.tell("somebody in another process")
    await asyncio.sleep(0)

    assert [True, False] == [each is not None and each.done() for each in coming]


async def test_what_is_called_after_it_was_asked_for_is_not_missed(voice: Voice, listener: Ear) -> None:
    """Each call is for who comes next; what was heard before it was asked for is over."""
    one = listener.listen("one")
    await voice.begins()
    voice.tell("one")
    coming = one.coming()
    again = one.coming()

    assert coming is again
    assert coming is not None
    assert not coming.done()
    voice.tell("one")
    assert coming.done()


async def test_nothing_is_to_be_waited_for_while_nothing_is_heard(voice: Voice, listener: Ear) -> None:
    """Before the store is heard, after it was lost, and not any more when it is heard again."""
    one = listener.listen("one")
    before = one.coming()
    await voice.begins()
    while_heard = one.coming()
    voice.fails("gone")
    assert while_heard is not None
    await asyncio.wait_for(while_heard, 10)
    lost = one.coming()
    await voice.begins()

    assert [None, None] == [before, lost]
    assert one.coming() is not None


async def test_a_store_that_is_not_heard_is_reported_once_for_each_reason(
    voice: Voice, listener: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    """Hearing it again makes every reason news."""
    listener.listen("one")
    for reason, is_heard in [("a", False), ("a", False), ("b", False), ("b", True)]:
        await asyncio.wait_for(voice._begun.wait(), 10)
        voice._begun.clear()
        if is_heard:
            voice.tell(None)
        voice.fails(reason)
    await voice.begins()

    assert ["a", "b", "b"] == [record.getMessage().partition("OSError: ")[2][0] for record in caplog.records]
    assert {logging.WARNING} == {record.levelno for record in caplog.records}


async def test_pauses_grow_until_it_is_heard(voice: Voice, listener: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that stays away is not bothered."""
    monkeypatch.setattr(ear, "LONGEST_PAUSE", 0.04)
    listener.listen("one")
    pauses = []
    for _ in range(4):
        await asyncio.wait_for(voice._begun.wait(), 10)
        voice._begun.clear()
        pauses.append(listener._pause)
        voice.fails("away")
    await voice.begins()

    assert [0.02, 0.04, 0.04] == pauses[1:]
    assert 0.01 == listener._pause


async def test_an_ear_rests_when_nobody_listens(voice: Voice, listener: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, in which the next one need not wait for it."""
    monkeypatch.setattr(ear, "LINGER_SECONDS", 0.05)
    one = listener.listen("one")
    other = listener.listen("other")
    await voice.begins()
    one.close()
    other.close()
    third = listener.listen("third")
    assert third.coming() is not None
    await asyncio.sleep(0.1)
    assert ["begins"] == voice.heard
    third.close()
    assert listener._hearing is not None
    await asyncio.wait([listener._hearing], timeout=10)
    rested = list(voice.heard)
    listener.listen("fourth")
    await voice.begins()

    assert ["begins", "ends"] == rested


async def test_a_connection_that_nobody_needs_is_not_opened_again(voice: Voice, listener: Ear) -> None:
    """It was lost while the ear was lingering."""
    listener.listen("one").close()
    await voice.begins()
    voice.fails("gone")
    assert listener._hearing is not None
    await asyncio.wait_for(listener._hearing, 10)

    assert ["begins", "ends"] == voice.heard


async def test_a_closed_ear_hears_nothing(voice: Voice, listener: Ear) -> None:
    """Whoever still listens has to ask."""
    one = listener.listen("one")
    await voice.begins()
    coming = one.coming()
    await listener.aclose()

    assert coming is not None
    assert coming.done()
    assert one.coming() is None


async def test_an_ear_that_nobody_has_used_has_nothing_to_close(voice: Voice) -> None:
    """Nor would it have a loop to do it in."""
    await Ear(voice.hear).aclose()

    assert [] == voice.heard
