"""Copying and moving: what each row meets, when a move goes on and when it stops, and that it can stop anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionRecord, StoreUnavailable
from sessionguard import copying as copying_module
from sessionguard.copying import BATCH, MOST_PASSES, TRIES, Outcome, Pass, StoreCopy, judge
from sessionguard.errors import StoreRetired
from sessionguard.moving import Move, move
from sessionguard.records import Retirement, Touch
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.sqlite import SqliteStore

THERE = "elsewhere://host/0"
ROW = SessionRecord("ours", 100, 200)

Rows = dict[str, SessionRecord]


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path / "source")
    yield store
    await store.aclose()


async def rows(store: DiskStore | MemoryStore) -> Rows:
    return {key: row async for key, row in store.scan()}


async def fill(store: DiskStore | MemoryStore, rows: Rows) -> None:
    await asyncio.gather(*(store.adopt(key, row, None) for key, row in rows.items()))


def many(count: int) -> Rows:
    return {f"key-{number:04}": SessionRecord(f"id-{number}", number, number) for number in range(count)}


MEETINGS = {
    "nothing": (None, Outcome.COPIED, ROW),
    "itself": (ROW, Outcome.SAME, ROW),
    "itself, used later": (SessionRecord("ours", 100, 201), Outcome.SAME, SessionRecord("ours", 100, 201)),
    "itself, used earlier": (SessionRecord("ours", 100, 199), Outcome.REFRESHED, ROW),
    "another, used later": (SessionRecord("theirs", 1, 201), Outcome.KEPT, SessionRecord("theirs", 1, 201)),
    "another, used at the same time": (SessionRecord("theirs", 1, 200), Outcome.REPLACED, ROW),
    "another, used earlier": (SessionRecord("theirs", 150, 199), Outcome.REPLACED, ROW),
}


@pytest.mark.parametrize("dry", [False, True], ids=["written", "dry"])
@pytest.mark.parametrize(("standing", "outcome", "stands"), MEETINGS.values(), ids=MEETINGS)
async def test_a_row_is_copied_unless_it_meets_a_newer_one(
    standing: SessionRecord | None, outcome: Outcome, stands: SessionRecord, dry: bool
) -> None:
    """With its id and its times; a dry run says the same and changes nothing."""
    source, target = MemoryStore(), MemoryStore()
    await fill(source, {"key": ROW})
    await fill(target, {"key": standing} if standing else {})
    before = await rows(target)

    found = await StoreCopy(source, target, dry=dry).run()

    assert found == Pass(Counter([outcome]), ["key"] if outcome is Outcome.KEPT else [])
    assert await rows(target) == (before if dry else {"key": stands})
    assert judge(ROW, standing) is outcome


@pytest.mark.parametrize("count", [0, 1, BATCH, 2 * BATCH + 1])
async def test_every_row_is_copied_and_every_batch_is_reported(count: int) -> None:
    """However they fall into batches."""
    source, target = MemoryStore(), MemoryStore()
    told: list[tuple[int, int]] = []
    await fill(source, many(count))

    found = await StoreCopy(source, target, watch=lambda number, rows: told.append((number, rows))).run()

    assert await rows(target) == many(count)
    assert (found.rows, found.changes, found.kept) == (count, count, [])
    assert told == sorted(told)
    assert told[-1] == (1, count)


class Restless(MemoryStore):
    """A store in which something happens before each scan."""

    def __init__(self, happens: Callable[[], Coroutine[Any, Any, object]]) -> None:
        super().__init__()
        self.happens = happens

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        await self.happens()
        async for pair in super().scan(prefix):
            yield pair


async def test_passes_go_on_while_each_finds_much_less_to_do() -> None:
    """8 new rows, then 4, 2, 1, and 1 again, which is no progress any more."""
    arrivals = iter([8, 4, 2, 1, 1, 1])
    numbers = iter(range(100))

    async def arrive() -> None:
        for _ in range(next(arrivals)):
            await source.reserve(f"key-{next(numbers)}", "id", None)

    source, target = Restless(arrive), MemoryStore()
    copy = StoreCopy(source, target)
    latest = await copy.settle()

    assert (copy.passes, latest.changes, copy.totals[Outcome.COPIED]) == (5, 1, 16)
    assert await rows(target) == source._rows


@pytest.mark.parametrize(("dry", "passes"), [(False, 2), (True, 1)])
async def test_a_source_at_rest_takes_two_passes_and_a_dry_run_one(dry: bool, passes: int) -> None:
    """The second finds nothing, and would find nothing else for as long as nothing is written."""
    source, target = MemoryStore(), MemoryStore()
    await fill(source, many(3))
    copy = StoreCopy(source, target, dry=dry)
    await copy.settle()

    assert copy.passes == passes


async def test_a_row_that_changes_in_the_target_is_judged_again() -> None:
    """Between the look and the write somebody has used it: the row he has seen is the newer one."""

    class Hasty(MemoryStore):
        async def get(self, key: str) -> SessionRecord | None:
            row = await super().get(key)
            if row is not None:
                self._rows[key] = row.touched(1000)
            return row

    source, target = MemoryStore(), Hasty()
    await fill(source, {"key": ROW})
    await fill(target, {"key": SessionRecord("theirs", 1, 1)})

    found = await StoreCopy(source, target).run()

    assert found.kept == ["key"]
    assert await rows(target) == {"key": SessionRecord("theirs", 1, 1000)}


async def test_a_row_that_never_comes_to_rest_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few tries, a few times."""
    monkeypatch.setattr(copying_module, "PAUSE_SECONDS", 0)
    looks = 0

    class Contended(MemoryStore):
        async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
            nonlocal looks
            looks += 1
            return SessionRecord("theirs", 1, 1)

    source = MemoryStore()
    await fill(source, {"key": ROW})
    with pytest.raises(StoreUnavailable, match="changed in the new store by too many others"):
        await StoreCopy(source, Contended()).run()

    assert looks == TRIES * copying_module.ATTEMPTS


@pytest.mark.parametrize("failures", [4, 5])
async def test_a_store_that_is_busy_is_given_some_time(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five attempts, with a pause between them."""
    monkeypatch.setattr(copying_module, "PAUSE_SECONDS", 0)
    left = failures

    async def be_busy() -> None:
        nonlocal left
        if left:
            left -= 1
            raise StoreUnavailable("busy")

    source, target = Restless(be_busy), MemoryStore()
    await fill(source, many(3))
    copy = StoreCopy(source, target)
    if failures < copying_module.ATTEMPTS:
        assert (await copy.run()).changes == 3
    else:
        with pytest.raises(StoreUnavailable, match="busy"):
            await copy.run()


async def test_a_target_that_loses_what_it_was_given_is_not_believed() -> None:
    """Verification is a pass that has nothing to do."""

    async def lose() -> None:
        target._rows.clear()

    source, target = Restless(lose), MemoryStore()
    await fill(source, many(3))
    copy = StoreCopy(source, target)
    with pytest.raises(StoreUnavailable, match="do not stay in the new store"):
        await copy.complete()

    assert copy.passes == MOST_PASSES


async def test_a_move_copies_retires_and_finishes(source: DiskStore) -> None:
    """The last pass is the proof."""
    target = MemoryStore()
    await fill(source, many(3))

    moved = await move(source, StoreCopy(source, target), THERE)

    assert moved == Move(Retirement(THERE, finished=True), Pass(Counter({Outcome.SAME: 3})))
    assert await rows(target) == many(3) == await rows(source)


async def test_what_was_written_up_to_the_retirement_arrives(
    source: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reservation, a reset and a touch that come after the last look and before the retirement."""
    target = MemoryStore()
    await fill(source, many(3))
    retire = source.retire

    async def at_the_last_moment(moved_to: str, *, finished: bool = False) -> None:
        if not finished:
            await source.reserve("late", "late", None)
            await source.reserve("key-0001", "reset", await source.get("key-0001"))
            await source.touch([Touch("key-0002", "id-2", 0)])
        await retire(moved_to, finished=finished)

    monkeypatch.setattr(source, "retire", at_the_last_moment)
    copy = StoreCopy(source, target)
    await move(source, copy, THERE)

    assert await rows(target) == await rows(source)
    assert [copy.totals[each] for each in (Outcome.COPIED, Outcome.REPLACED, Outcome.REFRESHED)] == [4, 1, 1]
    assert (await rows(target))["key-0001"].session_id == "reset"


async def test_a_newer_row_in_the_target_stops_a_move_before_the_retirement(source: DiskStore) -> None:
    """Somebody uses the target already; let the operator look first."""
    target = MemoryStore()
    await fill(source, {"key": ROW})
    await fill(target, {"key": SessionRecord("theirs", 1, 201)})

    stopped = await move(source, StoreCopy(source, target), THERE)
    served = await source.get("key")
    gone_on = await move(source, StoreCopy(source, target), THERE, keep_newer=True)

    assert (stopped.retirement, stopped.last and stopped.last.kept) == (None, ["key"])
    assert served == ROW
    assert gone_on.retirement == Retirement(THERE, finished=True)
    assert await rows(target) == {"key": SessionRecord("theirs", 1, 201)}


async def test_a_newer_row_that_turns_up_after_the_retirement_leaves_the_move_unfinished(source: DiskStore) -> None:
    """It is finished when the operator says that it may stay."""
    target = MemoryStore()
    await fill(source, {"key": ROW})
    await source.retire(THERE)
    await fill(target, {"key": SessionRecord("theirs", 1, 201)})

    stopped = await move(source, StoreCopy(source, target), THERE)
    gone_on = await move(source, StoreCopy(source, target), THERE, keep_newer=True)

    assert stopped.retirement == Retirement(THERE)
    assert gone_on.retirement == Retirement(THERE, finished=True)


async def test_an_empty_source_is_not_retired(source: DiskStore) -> None:
    """It is rather the wrong one."""
    moved = await move(source, StoreCopy(source, MemoryStore()), THERE)

    assert moved == Move(None, Pass())
    assert await source.retirement() is None


async def test_a_move_that_is_finished_is_not_made_again(source: DiskStore) -> None:
    """A conversation that was removed in the new store meanwhile does not come back."""
    target = MemoryStore()
    await fill(source, many(3))
    await move(source, StoreCopy(source, target), THERE)
    await target.forget("key-0001", "id-1")

    again = await move(source, StoreCopy(source, target), THERE)

    assert again == Move(Retirement(THERE, finished=True), None)
    assert "key-0001" not in await rows(target)


async def test_a_store_is_not_moved_to_two_places(source: DiskStore) -> None:
    """The error names the first."""
    await fill(source, many(3))
    await source.retire(THERE)

    with pytest.raises(StoreRetired, match=THERE):
        await move(source, StoreCopy(source, MemoryStore()), "third://host/0")


class Interrupted(BaseException):
    """The end of the process, as far as the code can tell."""


class Interruption:
    """Makes the `step`th call to either store the last one, before or after it is carried out."""

    def __init__(self, step: int, *, before: bool) -> None:
        self._step = step
        self._before = before
        self._calls = 0
        self.verb = ""

    def wrap(self, store: DiskStore | SqliteStore, verb: str, patch: pytest.MonkeyPatch) -> None:
        original = getattr(store, verb)

        async def call(*arguments: Any, **options: Any) -> Any:
            self._calls += 1
            is_last = self._calls == self._step
            if is_last:
                self.verb = verb
            if is_last and self._before:
                raise Interrupted
            answer = await original(*arguments, **options)
            if is_last:
                raise Interrupted
            return answer

        patch.setattr(store, verb, call)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_move_that_ends_at_any_step_is_finished_by_the_next_one(
    source: DiskStore, tmp_path: Path, before: bool
) -> None:
    """Every call to either store is the last one once."""
    last: list[str] = []
    await fill(source, many(2))
    for step in itertools.count(1):
        interruption = Interruption(step, before=before)
        target = SqliteStore(tmp_path / f"target-{step}")
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Interrupted):
            for verb in ("retirement", "retire"):
                interruption.wrap(source, verb, patch)
            for verb in ("get", "adopt"):
                interruption.wrap(target, verb, patch)
            await move(source, StoreCopy(source, target), THERE)
        moved = await move(source, StoreCopy(source, target), THERE)
        arrived = {key: row async for key, row in target.scan()}
        await target.aclose()

        assert moved.retirement == Retirement(THERE, finished=True)
        assert arrived == many(2)
        if not interruption.verb:
            break
        last.append(interruption.verb)
        await source.revive()

    # A look whether it is retired, a pass that copies, one that finds nothing, the retirement, one more, and the end.
    assert last == [
        "retirement",
        *["get", "get", "adopt", "adopt"],
        *["get"] * 2,
        "retire",
        *["get"] * 2,
        "retire",
        "retirement",
    ]
