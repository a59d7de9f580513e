"""The judge of histories: it believes what some order explains, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sessionguard import Reservation, SessionRecord, Touch
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.history import Operation, Recorder, read
from sessionguard.testing.models import judge_conversations, judge_rows
from sessionguard.testing.recording_store import RecordingStore

SECOND = 1_000_000_000
IDLE = 2 * SECOND


def asked(verb: str, start: float, end: float | None, answer: Any = None, *arguments: Any) -> Operation:
    """An operation on one conversation; `start` and `end` are in seconds."""
    returned = None if end is None else int(end * SECOND)
    return Operation("key", verb, arguments, int(start * SECOND), returned, answer)


def opened(id_: str, start: float, end: float) -> Operation:
    return asked("resolve", start, end, [id_, "new"])


def found(id_: str, start: float, end: float) -> Operation:
    return asked("resolve", start, end, [id_, "existing"])


CONVERSATIONS = {
    "one opens, others find": (True, [opened("a", 0, 1), found("a", 0.5, 2), found("a", 3, 4)]),
    "found before the opening was told": (True, [opened("a", 0, 3), found("a", 1, 2)]),
    "found before anybody had asked": (False, [found("a", 0, 1), opened("a", 2, 3)]),
    "two open at once": (False, [opened("a", 0, 0.5), opened("b", 0, 0.5)]),
    "the second gets another": (False, [opened("a", 0, 1), found("b", 1.1, 1.2)]),
    "opened anew after a silence": (True, [opened("a", 0, 0.1), opened("b", 3, 3.1)]),
    "opened anew while it was in use": (False, [opened("a", 0, 0.1), found("a", 2.5, 2.6), opened("b", 3, 3.1)]),
    "a handoff is no sign of life": (
        True,
        [opened("a", 0, 0.1), asked("hand_off", 2.5, 2.6, ["a", "existing"]), opened("b", 3, 3.1)],
    ),
    "a private id where nobody talks": (True, [asked("hand_off", 0, 1, ["p", "ephemeral"]), opened("a", 2, 3)]),
    "a private id in a living conversation": (
        False,
        [opened("a", 0, 0.1), asked("hand_off", 0.2, 0.3, ["p", "ephemeral"]), found("a", 0.4, 0.5)],
    ),
    "a reset": (True, [opened("a", 0, 1), asked("reset", 2, 3, ["b", "new"]), found("b", 4, 5)]),
    "both ids during a reset": (
        True,
        [opened("a", 0, 0.1), asked("reset", 0.2, 0.9, ["b", "new"]), found("b", 0.3, 0.4), found("b", 0.5, 0.6)],
    ),
    "the old id after the new one": (
        False,
        [opened("a", 0, 0.1), asked("reset", 0.2, 0.9, ["b", "new"]), found("b", 0.3, 0.4), found("a", 0.5, 0.6)],
    ),
    "the old id after the reset": (
        False,
        [opened("a", 0, 0.1), asked("reset", 0.2, 0.3, ["b", "new"]), found("a", 0.5, 0.6)],
    ),
    "somebody who was never answered opened it": (
        True,
        [asked("resolve", 0, None), found("a", 1, 2), found("a", 3, 4)],
    ),
    "nobody can have opened it": (False, [found("a", 1, 2)]),
    "two ids from one who was never answered": (
        False,
        [asked("resolve", 0, None), found("a", 1, 2), found("b", 2.1, 2.2)],
    ),
    "many were never answered": (
        True,
        [*(asked("reset", 0, None) for _ in range(30)), found("a", 1, 2), found("b", 3, 4)],
    ),
    "its first attempt opened another one": (
        True,
        [asked("resolve", 0, 5, ["b", "joined"]), found("a", 1, 2), asked("reset", 3, 4, ["b", "new"])],
    ),
}


@pytest.mark.parametrize(("explained", "history"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_has_one_id_at_a_time(explained: bool, history: list[Operation]) -> None:
    """Whether there is an order in which every answer was the truth when it was given."""
    assert (judge_conversations(history, IDLE) == []) is explained


def reserved(id_: str, start: float, end: float | None, seen: Any = None, *, replacing: Any = None) -> Operation:
    answer = None if end is None else [seen or [id_, 1, 1], seen is None or seen[0] == id_]
    return asked("reserve", start, end, answer, id_, replacing)


def got(start: float, end: float | None, seen: Any) -> Operation:
    return asked("get", start, end, seen)


ROWS = {
    "read back": (True, [got(0, 1, None), reserved("a", 2, 3), got(4, 5, ["a", 1, 1])]),
    "lost": (False, [reserved("a", 2, 3), got(4, 5, None)]),
    "read before it was written": (False, [got(0, 1, ["a", 1, 1]), reserved("a", 2, 3)]),
    "a read nobody waited for": (True, [got(0, None, None), reserved("a", 2, 3)]),
    "another time than was written": (False, [reserved("a", 2, 3), got(4, 5, ["a", 1, 2])]),
    "another start than was written": (False, [reserved("a", 2, 3), got(4, 5, ["a", 2, 2])]),
    "the loser sees the winner": (True, [reserved("a", 0, 1), reserved("b", 0, 1, ["a", 1, 1])]),
    "two winners": (False, [reserved("a", 0, 1), reserved("b", 0, 1)]),
    "a winner who was told he lost": (False, [asked("reserve", 0, 1, [["a", 1, 1], False], "a", None)]),
    "a retry": (True, [reserved("a", 0, 1), reserved("a", 2, 3)]),
    "an unknown outcome that came to pass": (True, [reserved("a", 0, None), got(4, 5, ["a", 7, 7])]),
    "an unknown outcome that did not": (True, [reserved("a", 0, None), got(4, 5, None)]),
    "an unknown outcome that was undone": (False, [reserved("a", 0, None), got(4, 5, ["a", 7, 7]), got(6, 7, None)]),
    "the stale row replaced": (True, [reserved("a", 0, 1), reserved("b", 2, 3, replacing=("a", 1))]),
    "a row of another id replaced": (False, [reserved("a", 0, 1), reserved("b", 2, 3, replacing=("c", 1))]),
    "a stale row kept": (False, [reserved("a", 0, 1), reserved("b", 2, 3, ["a", 1, 1], replacing=("a", 1))]),
    "a touched row kept": (
        True,
        [reserved("a", 0, 1), asked("touch", 2, 3, None, "a"), reserved("b", 4, 5, ["a", 1, 9], replacing=("a", 1))],
    ),
    "a touched row replaced": (
        False,
        [
            reserved("a", 0, 1),
            asked("touch", 2, 3, None, "a"),
            got(3, 4, ["a", 1, 9]),
            reserved("b", 4, 5, ["b", 10, 10], replacing=("a", 1)),
        ],
    ),
    "time runs backwards": (
        False,
        [reserved("a", 0, 1), asked("touch", 1, 9, None, "a"), got(2, 3, ["a", 1, 5]), got(4, 5, ["a", 1, 4])],
    ),
    "moved before it was touched": (
        False,
        [reserved("a", 0, 1), got(2, 3, ["a", 1, 5]), asked("touch", 4, 5, None, "a")],
    ),
    "forgotten": (True, [reserved("a", 0, 1), asked("forget", 2, 3, True, "a"), got(4, 5, None)]),
    "forgotten, it is said": (False, [reserved("a", 0, 1), asked("forget", 2, 3, True, "b")]),
    "forgotten by one who was never answered": (
        True,
        [reserved("a", 0, 1), asked("forget", 2, None, None, "a"), got(4, 5, None)],
    ),
}


@pytest.mark.parametrize(("explained", "history"), ROWS.values(), ids=ROWS)
def test_a_row_is_one_at_a_time(explained: bool, history: list[Operation]) -> None:
    """Whether there is an order in which every answer was the truth when it was given."""
    assert (judge_rows(history) == []) is explained


def test_a_violation_says_what_was_asked_and_when() -> None:
    """Its reader needs no tool."""
    (violation,) = judge_rows([reserved("a", 1, 2), got(2.5, 3, None), reserved("late", 3.5, None)])

    assert str(violation).splitlines() == [
        "key: no order of these operations explains the last answer",
        "          0.000 to 1000.000 ms  reserve ('a', None) -> [['a', 1, 1], True]",
        "       1500.000 to 2000.000 ms  get  -> None",
    ]


def test_subjects_are_judged_apart() -> None:
    """The rows of one key explain nothing about another."""
    other = Operation("other", "get", (), 2, 3, ["a", 1, 1])

    assert [violation.operation for violation in judge_rows([reserved("a", 0, 1), other])] == [other]


def test_a_history_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    """What was begun and not ended is open, and half a line is nothing."""
    recorder = Recorder(tmp_path / "history")
    number = recorder.begin("key", "reserve", "a", ("b", 1))
    recorder.end(number, [["a", 1, 1], True])
    recorder.begin("key", "get")
    recorder.close()
    with (tmp_path / "history").open("a") as file:
        file.write(json.dumps([2, 99, "key", "get"])[:-3])
    first, second = read([tmp_path / "history"])

    assert (first.verb, first.arguments, first.answer) == ("reserve", ("a", ("b", 1)), [["a", 1, 1], True])
    assert first.returned is not None
    assert first.invoked < first.returned < second.invoked
    assert (second.verb, second.returned, second.answer) == ("get", None, None)


class NaiveStore(MemoryStore):
    """Looks, and then writes."""

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        row = await self.get(key)
        await asyncio.sleep(0)
        if row is None:
            self._rows[key] = row = SessionRecord(candidate_id, 1, 1)
        return Reservation(row, row.session_id == candidate_id, 1)


@pytest.mark.parametrize(("store", "keys"), [(MemoryStore(), 0), (NaiveStore(), 20)], ids=["ours", "a naive one"])
async def test_a_recorded_race_convicts_a_store_that_looks_and_then_writes(
    store: MemoryStore, keys: int, tmp_path: Path
) -> None:
    """On every key, and ours on none."""
    recorder = Recorder(tmp_path / "history")
    recording = RecordingStore(store, recorder)
    await asyncio.gather(*(recording.reserve(f"key-{n % 20}", f"id-{n}", None) for n in range(100)))
    recorder.close()

    assert len(judge_rows(read([tmp_path / "history"]))) == keys


async def test_a_recording_store_is_the_store_behind_it(tmp_path: Path) -> None:
    """Every verb that reads or writes one row is in the history, the others pass."""
    recorder = Recorder(tmp_path / "history")
    store = RecordingStore(MemoryStore(), recorder)
    record = (await store.reserve("key", "id", None)).record

    await store.touch([Touch("key", "id", 0)])

    assert await store.ping() >= record.updated_at
    assert store.location == MemoryStore().location
    assert [(key, row.session_id) async for key, row in store.scan()] == [("key", "id")]
    assert await store.forget("key", "id") is True
    with pytest.raises(NotImplementedError, match="the judge knows no clock"):
        await store.forget("key", "id", idle_before=1)
    await store.aclose()
    assert [operation.verb for operation in read([tmp_path / "history"])] == ["reserve", "touch", "forget"]
