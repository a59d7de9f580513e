"""Signs of life: gathered, written in batches, kept when they cannot be written, saved when the process ends."""

from __future__ import annotations

import asyncio
import atexit
import gc
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest

from sessionguard import StoreUnavailable, Touch
from sessionguard.stores.disk.store import DiskStore
from sessionguard.touches import BATCH, MILLISECOND, PendingTouches


class Sink:
    """Where touches go; it can be full."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Touch]] = []
        self.written = asyncio.Event()
        self.full = False

    async def __call__(self, updates: Sequence[Touch]) -> None:
        if self.full:
            raise StoreUnavailable("full")
        self.batches.append(updates)
        self.written.set()


def pending(sink: Sink, interval: int = 10) -> PendingTouches:
    return PendingTouches(sink, interval, lambda: 1000 * MILLISECOND)


async def test_many_uses_of_a_conversation_are_one_touch_with_the_latest_time() -> None:
    """Its age is measured when it is written."""
    sink = Sink()
    touches = pending(sink)
    for now in (700, 800, 900):
        touches.note("key", "id", now * MILLISECOND)
    await touches.flush()

    assert sink.batches == [[Touch("key", "id", 100)]]
    assert len(touches) == 0


async def test_the_alarm_writes_without_being_asked_and_rests_when_there_is_nothing() -> None:
    """One flush per interval, and none for an idle process."""
    sink = Sink()
    touches = pending(sink)
    touches.note("key", "id", 1000 * MILLISECOND)
    await asyncio.wait_for(sink.written.wait(), 5)
    await asyncio.sleep(0.05)

    assert len(sink.batches) == 1
    assert touches._alarm is None


async def test_what_is_noted_while_a_flush_is_under_way_is_kept() -> None:
    """A newer use is not settled by the writing of an older one."""
    sink = Sink()
    touches = pending(sink, interval=60_000)

    async def write_and_note(updates: Sequence[Touch]) -> None:
        await sink(updates)
        touches.note("key", "id", 950 * MILLISECOND)

    touches._touch = write_and_note
    touches.note("key", "id", 900 * MILLISECOND)
    await touches.flush()

    assert touches.idle("key", "id") == 50


async def test_what_is_noted_while_the_alarm_rings_waits_for_the_next_one() -> None:
    """A flush that leaves something behind sets the alarm again."""
    sink = Sink()
    touches = pending(sink)

    async def write_and_note(updates: Sequence[Touch]) -> None:
        await sink(updates)
        if len(sink.batches) == 1:
            touches.note("key", "id", 950 * MILLISECOND)

    touches._touch = write_and_note
    touches.note("key", "id", 900 * MILLISECOND)
    while len(sink.batches) < 2:
        await asyncio.wait_for(sink.written.wait(), 5)
        sink.written.clear()

    assert [batch[0].age for batch in sink.batches] == [100, 50]


async def test_a_store_that_is_full_gets_them_again(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is dropped; the alarm is set anew."""
    sink = Sink()
    sink.full = True
    touches = pending(sink)
    touches.note("key", "id", 1000 * MILLISECOND)
    while "kept for the next attempt" not in caplog.text:
        await asyncio.sleep(0.005)
    sink.full = False
    await asyncio.wait_for(sink.written.wait(), 5)

    assert sink.batches == [[Touch("key", "id", 0)]]


async def test_a_great_many_touches_go_in_several_batches() -> None:
    """No single transaction grows without bound."""
    sink = Sink()
    touches = pending(sink, interval=60_000)
    for number in range(BATCH + 1):
        touches.note(f"key-{number}", "id", 1000 * MILLISECOND)
    await touches.flush()

    assert [len(batch) for batch in sink.batches] == [BATCH, 1]


async def test_a_touch_of_another_session_says_nothing_about_this_one() -> None:
    """After a reset what is pending belongs to the id that was left."""
    touches = pending(Sink(), interval=60_000)
    touches.note("key", "old", 1000 * MILLISECOND)

    assert touches.idle("key", "new") is None
    assert touches.idle("key", "old") == 0


def test_a_loop_that_closed_takes_no_alarm_with_it() -> None:
    """The next loop that serves a request sets it again."""
    sink_holder: list[Sink] = []

    async def first() -> PendingTouches:
        sink_holder.append(Sink())
        touches = pending(sink_holder[0])
        touches.note("key", "id", 1000 * MILLISECOND)
        return touches

    async def second(touches: PendingTouches) -> None:
        sink_holder[0].written = asyncio.Event()
        touches.note("other", "id", 1000 * MILLISECOND)
        await asyncio.wait_for(sink_holder[0].written.wait(), 5)

    touches = asyncio.run(first())
    asyncio.run(second(touches))

    assert {touch.key for touch in sink_holder[0].batches[0]} == {"key", "other"}


EXIT = """
import asyncio, sys
from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

async def main():
    guard = SessionGuard(AppProbe(), store=sys.argv[1])
    for _ in range(2):
        await Exchange(guard, [(b"x-openclaw-session-key", b"key")]).run()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_process_that_ends_without_a_lifespan_saves_its_touches(tmp_path: Path) -> None:
    """At interpreter exit what is pending is written and the database closed, without a word."""
    directory = tmp_path / "sessions"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", EXIT, f"disk://{directory}"]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)

    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert "Warning" not in run.stderr
    assert await its_touch_was_written(directory)


async def its_touch_was_written(directory: Path) -> bool:
    store = DiskStore(directory)
    [row] = [row async for _, row in store.scan()]
    await store.aclose()
    return row.updated_at > row.session_started_at


LATE_EXIT = EXIT.replace("\n\nasyncio.run", "\n    await guard._store.aclose()\n\nasyncio.run")


@pytest.mark.slow
async def test_a_process_that_has_closed_its_store_ends_without_a_traceback(tmp_path: Path) -> None:
    """Some Pythons (3.12) start no thread that late, so nothing is opened again: a line says what was lost."""
    directory = tmp_path / "sessions"
    command = [sys.executable, "-X", "dev", "-c", LATE_EXIT, f"disk://{directory}"]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    was_lost = "signs of life were not written" in run.stderr

    assert "aclose" in LATE_EXIT
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
    assert await its_touch_was_written(directory) != was_lost


def test_what_is_noted_after_a_flush_is_saved_at_exit_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush by hand does not leave later touches to an alarm that may never ring."""
    saved: list[object] = []

    async def serve() -> PendingTouches:
        touches = pending(Sink(), interval=60_000)
        touches.note("key", "id", 900 * MILLISECOND)
        await touches.flush()
        monkeypatch.setattr(atexit, "register", saved.append)
        touches.note("key", "id", 1000 * MILLISECOND)
        return touches

    touches = asyncio.run(serve())

    assert saved == [touches._save]


async def test_a_guard_with_nothing_pending_is_free_to_go() -> None:
    """The exit hook holds only those who have something to save."""
    sink = Sink()
    touches = pending(sink)
    touches.note("key", "id", 1000 * MILLISECOND)
    await asyncio.wait_for(sink.written.wait(), 5)
    reference = weakref.ref(touches)
    while touches._flushes:
        await asyncio.sleep(0)
    del touches
    gc.collect()

    assert reference() is None


def test_what_the_store_does_not_take_at_exit_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    """The interpreter ends without a traceback."""

    async def serve() -> PendingTouches:
        sink = Sink()
        sink.full = True
        touches = pending(sink, interval=60_000)
        touches.note("key", "id", 1000 * MILLISECOND)
        return touches

    touches = asyncio.run(serve())
    atexit.unregister(touches._save)
    touches._save()

    assert "signs of life were not written" in caplog.text
