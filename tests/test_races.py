"""What we ship for races between processes, tried on a small scale; tests/trials has the large one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sessionguard import Tally
from sessionguard import SessionStore
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import FailureContract, RaceContract, failures, races
from sessionguard.testing.client import RecordingClient
from sessionguard.testing.failing_store import FailingStore, Fault
from sessionguard.testing.history import Operation, Recorder, read
from sessionguard.testing.linearizability import Violation
from sessionguard.testing.race import Race
from sessionguard.testing.racer import Plan, Racer

pytest_plugins = ["pytester"]


class ShortTally(Tally):
    """Tries little."""

    def choose(self, short: int, long: int) -> int:
        return 2


@pytest.mark.slow
class TestShortRaces(RaceContract):
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(races, "TURNS", 20)

    @pytest.fixture
    def store_url(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return f"disk://{tmp_path_factory.mktemp('store') / 'sessions'}"

    @pytest.fixture
    def tally(self) -> Iterator[Tally]:
        tally = ShortTally(long=False)
        yield tally
        assert min(tally.counts.values()) > 0


@pytest.mark.slow
def test_a_failure_that_leads_to_a_second_id_fails_with_its_history(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no order explains is printed."""
    monkeypatch.setattr(failures, "judge_conversations", lambda operations, idle: ["two ids"])
    monkeypatch.setattr(failures, "AT_ONCE", 1)
    test = FailureContract.test_whichever_call_fails_a_conversation_has_one_id

    with pytest.raises(pytest.fail.Exception, match="two ids"):
        test(FailureContract(), MemoryStore(), fault=Fault.LOST_REPLY, tmp_path=tmp_path, tally=tally)


@pytest.mark.slow
def test_every_call_fails_once_however_many_there_are(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow machine has signs of life to write, and so more calls than a fast one."""
    monkeypatch.setattr(failures, "AT_ONCE", 9)
    test = FailureContract.test_whichever_call_fails_a_conversation_has_one_id
    test(FailureContract(), MemoryStore(), fault=Fault.LOST_REQUEST, tmp_path=tmp_path, tally=tally)

    assert sum(tally.counts.values()) > 9


def test_races_without_a_store_say_what_to_override() -> None:
    """The one thing their author has to bring."""
    with pytest.raises(NotImplementedError, match="override the fixture 'store_url'"):
        RaceContract.store_url.__wrapped__(RaceContract())  # type: ignore[attr-defined]


def test_a_race_that_forks_a_conversation_fails_with_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no order explains is printed."""
    operation = Operation("key", "get", (), 0, 1, ["forked", 1, 1])
    monkeypatch.setattr(Race, "unexplained", lambda race: [Violation(operation, [operation])])
    race = Race("memory:", Path())

    with pytest.raises(pytest.fail.Exception, match="no order of these operations explains"):
        races.check_order(race)


@pytest.mark.slow
@pytest.mark.parametrize("faults", [0.0, 0.5])
def test_a_racer_does_something_in_every_turn_it_is_in_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: float
) -> None:
    """New, reset, hot and stale conversations; what fails or is cancelled stays open in its history."""
    monkeypatch.setattr(Racer, "_turn_by_the_clock", lambda racer: 0)
    plan = Plan(f"disk://{tmp_path / 'sessions'}", str(tmp_path), "racer", time.monotonic_ns(), 12, faults=faults)
    Racer(plan).run()
    asked = read([tmp_path / "racer.conversations"])

    assert {operation.subject.partition("-")[2].partition("-")[0] for operation in asked} == {"new", "hot"}
    assert any(operation.answer is None for operation in asked) is bool(faults)


def test_a_racer_that_is_late_skips_to_the_last_turn(tmp_path: Path) -> None:
    """It joins the others instead of doing on its own what they did together."""
    start = time.monotonic_ns() - 60_000_000_000
    Racer(Plan(f"disk://{tmp_path / 'sessions'}", str(tmp_path), "racer", start, 13, threads=1)).run()
    asked = read([tmp_path / "racer.conversations"])

    assert {operation.subject for operation in asked} == {f"{start:x}-new-12"}


@pytest.mark.slow
def test_a_racer_that_fails_fails_the_race(tmp_path: Path) -> None:
    """With what it said, whether anybody waits for it, wants to kill it, or waits for it to begin."""
    race = Race("nowhere:", tmp_path)

    with pytest.raises(RuntimeError, match="no plugin offers nowhere: URLs"):
        race.run(1)
    with pytest.raises(RuntimeError, match="no plugin offers nowhere: URLs"):
        race.run_with_kills(1)


def test_a_racer_that_is_told_something_impossible_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that ends in anything but an answer ends the race."""

    async def impossible(client: RecordingClient, key: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RecordingClient, "resolve", impossible)
    plan = Plan(f"disk://{tmp_path / 'sessions'}", str(tmp_path), "racer", time.monotonic_ns(), 12)

    with pytest.raises(ZeroDivisionError):
        Racer(plan).run()


def test_a_racer_that_ended_by_itself_cannot_be_killed(tmp_path: Path) -> None:
    """It had no reason to end."""
    race = Race("nowhere:", tmp_path)
    racer = race._start(1)
    racer._process.wait()

    with pytest.raises(RuntimeError, match="a racer failed"):
        racer.kill()


async def test_an_answer_that_is_neither_an_id_nor_503_is_an_error(tmp_path: Path) -> None:
    """A refused key is the mistake of whoever asks for it."""
    client = RecordingClient(MemoryStore(), Recorder(tmp_path / "history"), idle=2)

    with pytest.raises(AssertionError, match=r"resolve of a,b was answered"):
        await client.resolve("a,b")


async def test_what_a_guard_cannot_tell_stays_open(tmp_path: Path) -> None:
    """A client that is refused with 503 knows nothing."""
    store = FailingStore(MemoryStore(), lambda call: Fault.LOST_REQUEST)
    client = RecordingClient(store, Recorder(tmp_path / "history"), idle=2)

    assert await client.resolve("key") is None
    assert await client.reset("key") is None
    assert [operation.returned for operation in read([tmp_path / "history"])] == [None, None]


async def test_a_failing_store_fails_when_its_plan_says_so() -> None:
    """A lost request does nothing, a lost reply hides what was done, and silence lasts."""
    faults = {1: Fault.LOST_REQUEST, 2: Fault.LOST_REPLY, 4: Fault.SILENCE}
    inner = MemoryStore()
    store = FailingStore(inner, faults.get)
    with pytest.raises(ConnectionError, match="request"):
        await store.reserve("key", "first", None)
    assert await inner.get("key") is None
    with pytest.raises(ConnectionError, match="reply"):
        await store.reserve("key", "second", None)
    assert await store.forget("key", "second") is True
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(store.ping(), 0.01)

    assert store.calls == 4
    assert store.location == inner.location
    assert [pair async for pair in store.scan()] == []


ALONE = ("-p", "no:cov", "-p", "no:asyncio", "-p", "no:cacheprovider")
"""Options that keep a run of pytest inside this one to itself."""


@pytest.mark.slow
def test_one_option_judges_the_store_at_a_url(pytester: pytest.Pytester) -> None:
    """With some of its tests; races between processes are skipped for a store of one process, and say so."""
    some = "TestRaces or TestAdoption or nobody_gives_back or reply"
    run = pytester.runpytest_inprocess("--sessionguard-store=memory:", "-rs", "-k", some, *ALONE)

    assert run.ret == 0
    assert run.parseoutcomes()["skipped"] == 3
    run.stdout.fnmatch_lines(["*none of which gave a conversation a second id", "*this store serves one process only*"])


MINIMAL = """
from sessionguard import SessionStore, hookimpl
from sessionguard.stores.memory import MemoryStore

VERBS = ("recall", "get", "reserve", "touch", "forget", "scan", "ping", "aclose")

@hookimpl
def sessionguard_register_stores():
    return {"minimal": minimal}

def minimal(url, settings):
    store = MemoryStore()
    verbs = {name: staticmethod(getattr(store, name)) for name in VERBS}
    return type("Minimal", (SessionStore,), {**verbs, "coordination": "process", "location": "here"})()
"""


@pytest.mark.slow
def test_a_minimal_store_is_asked_neither_to_adopt_nor_for_leases(pytester: pytest.Pytester) -> None:
    """What is more than the contract is skipped, and says so; the contract is not."""
    pytester.makepyfile(minimal_store=MINIMAL)
    metadata = pytester.mkdir("minimal_store-1.0.dist-info")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: minimal-store\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[sessionguard]\nminimal = minimal_store\n")
    pytester.syspathinsert()
    run = pytester.runpytest_inprocess(
        "--sessionguard-store=minimal:", "-rs", "-k", "TestAdoption or TestLeases or read_back or reads_back", *ALONE
    )

    assert run.ret == 0
    assert run.parseoutcomes().keys() == {"passed", "skipped", "deselected"}
    run.stdout.fnmatch_lines(["*conversations cannot be moved to this store*", "*this store has no leases*"])


def rows(store: SessionStore) -> list[str]:
    """The ids in a store, which is closed again."""

    async def read_all() -> list[str]:
        try:
            return [record.session_id async for _, record in store.scan()]
        finally:
            await store.aclose()

    return asyncio.run(read_all())


def test_the_suite_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    """Neither for its next test nor for whoever comes next."""
    place = pytester.path / "sessions"
    run = pytester.runpytest_inprocess(f"--sessionguard-store=disk://{place}", "-k", "reads_back or read_back", *ALONE)

    assert run.parseoutcomes()["passed"] == 1
    assert rows(DiskStore(place)) == []


@pytest.mark.slow
def test_the_suite_keeps_its_hands_off_a_store_that_is_in_use(pytester: pytest.Pytester) -> None:
    """It removes every row, so it wants to be alone."""
    place = pytester.path / "sessions"

    async def converse() -> None:
        store = DiskStore(place)
        await store.reserve("key", "somebody's", None)
        await store.aclose()

    asyncio.run(converse())
    run = pytester.runpytest_inprocess(f"--sessionguard-store=disk://{place}", "-k", "reads_back or read_back", *ALONE)

    run.stdout.fnmatch_lines(["*holds conversations; name an empty place*"])
    assert rows(DiskStore(place)) == ["somebody's"]


def test_tests_that_are_named_run_beside_the_option(pytester: pytest.Pytester) -> None:
    """Whoever names his tests wants these, with the same counts at the end."""
    mine = pytester.makepyfile("def test_mine(tally):\n    tally.add('things', tally.choose(1, 2000))\n")
    run = pytester.runpytest_inprocess("--sessionguard-store=memory:", "--sessionguard-long", mine, *ALONE)

    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["*2,000 things"])


@pytest.mark.slow
def test_a_plan_is_handed_over_as_json(tmp_path: Path) -> None:
    """So a racer can be started by hand."""
    plan = {"url": "memory:", "directory": str(tmp_path), "name": "mine", "start": time.monotonic_ns(), "turns": 50}
    command = [sys.executable, "-m", "sessionguard.testing.racer", json.dumps(plan)]
    subprocess.run(command, check=True)

    assert read([tmp_path / "mine.conversations"])
