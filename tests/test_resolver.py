"""The law under races, resets, clocks, lost answers and cancellations, through the guard and a store behind a wire."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from errand import Errand, Errands
from loop_clock import LoopClock

from sessionguard import (
    CorruptRecord,
    Origin,
    PolicyFailed,
    Refusal,
    Reservation,
    Resolution,
    SessionGuard,
    SessionRecord,
    StoreUnavailable,
    Touch,
    get_resolution,
    hookimpl,
)
from sessionguard.records import ResolutionRequest
from sessionguard.reserving import Reservations
from sessionguard.resolver import LONG_IDLE, TRIES
from sessionguard.store import Offer
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import AppProbe, Exchange
from sessionguard.touches import MILLISECOND

ROW = "default//agent:main:key"
REQUEST = ResolutionRequest("agent:main:key", ROW)
VISIBLE, INTERNAL = "/", "/internal"
MINUTE = 60_000
START = 1_700_000_000_000


class Clock:
    """Milliseconds that move when told."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Wire(MemoryStore):
    """The reference store behind a wire: every verb yields to the loop, and can be held, counted or broken."""

    begins = False
    """Whether a reservation may be begun, as embedded stores have it, or has to be awaited, as over a network."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock=clock)
        self.calls: Counter[str] = Counter()
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}

    async def _pass(self, verb: str, work: Callable[[], Awaitable[Any]]) -> Any:
        self.calls[verb] += 1
        await asyncio.sleep(0)
        if verb in self.before:
            await self.before[verb]()
        answer = await work()
        if verb in self.after:
            await self.after[verb]()
        await asyncio.sleep(0)
        return answer

    async def get(self, key: str) -> SessionRecord | None:
        row: SessionRecord | None = await self._pass("get", lambda: MemoryStore.get(self, key))
        return row

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        reservation: Reservation = await self._pass(
            "reserve", lambda: MemoryStore.reserve(self, key, candidate_id, replacing)
        )
        return reservation

    def begin_reserve(self, offers: Sequence[Offer]) -> bool:
        for offer in offers if self.begins else ():
            task = asyncio.ensure_future(self.reserve(offer.key, offer.candidate_id, offer.replacing))
            task.add_done_callback(functools.partial(_settle, offer))
        return self.begins

    async def touch(self, updates: Any) -> None:
        await self._pass("touch", lambda: MemoryStore.touch(self, updates))


def _settle(offer: Offer, task: asyncio.Task[Reservation]) -> None:
    if task.cancelled():
        offer.settle(StoreUnavailable("cancelled"))
    else:
        error = task.exception()
        offer.settle(error if isinstance(error, Exception) else task.result())


@pytest.fixture(autouse=True, params=[False, True], ids=["awaited", "begun"])
def _reservations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The law is the same, whichever way a store reserves."""
    monkeypatch.setattr(Wire, "begins", request.param)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    return LoopClock(monkeypatch)


class World:
    """One store, one clock, and as many processes as a test wants."""

    def __init__(self, reset: str = "none") -> None:
        self.clock = Clock()
        self.store = Wire(self.clock)
        self.reset = reset
        self.minted: list[str] = []

    def mint(self) -> str:
        self.minted.append(f"id-{len(self.minted) + 1}")
        return self.minted[-1]

    def process(self, **options: Any) -> Process:
        return Process(self, **options)

    async def row(self) -> SessionRecord | None:
        return await MemoryStore.get(self.store, ROW)


class Process:
    """A guarded application in a process of its own. `skew` is its clock's error in milliseconds."""

    def __init__(self, world: World, *, skew: int = 0, timeout: float = 10.0, on_store_error: Any = "closed") -> None:
        self._world = world
        self._probe = AppProbe()
        self._refusals: list[Refusal] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sessionguard.middleware.wall_clock", lambda: world.clock.now + skew)
            patch.setattr("sessionguard.middleware.monotonic_ns", lambda: world.clock.now * MILLISECOND)
            self.guard = SessionGuard(
                self._probe,
                store=world.store,
                reset=world.reset,
                reserve_timeout=timeout,
                on_store_error=on_store_error,
                plugins=[self],
            )
        self.resolver = self.guard._resolver
        self.touches = self.resolver._touches

    @hookimpl
    def sessionguard_new_session_id(self) -> str:
        return self._world.mint()

    @hookimpl
    def sessionguard_suppress_visible_effects(self, scope: Any) -> bool:
        return bool(scope["path"] == INTERNAL)

    @hookimpl
    def sessionguard_request_refused(self, scope: Any, error: Refusal) -> None:
        self._refusals.append(error)

    async def resolve(self, path: str = VISIBLE, key: bytes = b"key") -> Resolution:
        """Send one request; returns what the application saw, raises what the client was refused with."""
        name = str(uuid.uuid4())
        await Exchange(self.guard, [(b"x-openclaw-session-key", key)], path=path, name=name).run()
        for scope in self._probe.scopes:
            if scope["name"] == name:
                return get_resolution(scope)
        raise self._refusals[-1]

    async def resolve_many(self, times: int) -> list[Resolution]:
        return list(await asyncio.gather(*(self.resolve() for _ in range(times))))


def origins(resolutions: list[Resolution]) -> Counter[Origin]:
    return Counter(resolution.origin for resolution in resolutions)


def ids(resolutions: list[Resolution]) -> set[str]:
    return {resolution.session_id for resolution in resolutions}


async def test_without_the_reservation_two_resolutions_of_a_new_key_fork() -> None:
    """The regression this package exists for: look, mint, store, with an await in between."""
    world = World()

    async def naive() -> str:
        row = await world.store.get(ROW)
        return row.session_id if row else world.mint()

    assert len(set(await asyncio.gather(naive(), naive()))) == 2


@pytest.mark.parametrize("processes", [1, 4])
async def test_concurrent_requests_for_a_new_key_get_one_id_and_one_is_new(processes: int) -> None:
    """Exactly one `new`, the row persisted, whatever the number of processes."""
    world = World()
    answers = await asyncio.gather(*(world.process().resolve_many(50) for _ in range(processes)))
    resolutions = [resolution for answer in answers for resolution in answer]
    row = await world.row()

    assert row is not None
    assert ids(resolutions) == {row.session_id}
    assert origins(resolutions) == {Origin.NEW: 1, Origin.JOINED: 50 * processes - 1}


async def test_single_flight_makes_one_reservation_of_a_thousand_requests() -> None:
    """Economy: the store hears once."""
    world = World()
    await world.process().resolve_many(1000)

    assert world.store.calls["reserve"] == 1


@pytest.mark.slow
async def test_without_single_flight_the_races_still_have_one_winner() -> None:
    """Correctness is the store's: a resolver per request shares nothing, and the law holds."""
    world = World()
    resolutions = list(await asyncio.gather(*(world.process().resolve() for _ in range(100))))

    assert len(ids(resolutions)) == 1
    assert origins(resolutions)[Origin.NEW] == 1


async def test_a_follow_up_reuses_the_id_and_asks_nothing_of_the_store() -> None:
    """An established conversation is remembered."""
    world = World()
    process = world.process()
    first = await process.resolve()
    world.store.calls.clear()
    second = await process.resolve()

    assert second == dataclasses.replace(first, origin=Origin.EXISTING)
    assert world.store.calls == {}


async def test_what_is_recalled_holds_until_the_row_may_need_a_sign_of_life() -> None:
    """Not a millisecond longer, and each use of it is noted."""
    world = World()
    process = world.process()
    await process.resolve()
    established = process.resolver.recall(REQUEST)
    assert established is not None
    held = []
    for step in (0, LONG_IDLE - 1, 1):
        world.clock.now += step
        held.append(process.resolver.still_holds(established))

    assert held == [True, True, False]
    assert process.touches.idle(ROW, established.record.session_id) == 1


@pytest.mark.parametrize("internal", [True, False], ids=["internal", "with a rule"])
async def test_what_a_rule_or_a_handoff_has_to_judge_is_recalled_but_never_taken_for_granted(internal: bool) -> None:
    """Time may end a session, and a handoff is no sign of life."""
    world = World("none" if internal else "idle=2h")
    process = world.process()
    first = await process.resolve()
    process.touches.forget()
    established = process.resolver.recall(dataclasses.replace(REQUEST, internal=internal))
    assert established is not None

    assert established.resolution == dataclasses.replace(first, origin=Origin.EXISTING, internal=internal)
    assert not process.resolver.still_holds(established)
    assert len(process.touches) == (0 if internal else 1)


async def test_a_session_that_looks_expired_is_not_recalled() -> None:
    """It may have been used elsewhere since it was read."""
    world = World("idle=2h")
    process = world.process()
    await process.resolve()
    process.touches.forget()
    world.clock.now += 7_200_001

    assert process.resolver.recall(REQUEST) is None


async def test_an_internal_handoff_without_a_row_gets_an_id_nobody_else_will_get() -> None:
    """One read, no row, and the id is not the mint's."""
    world = World()
    process = world.process()
    resolutions = [await process.resolve(INTERNAL) for _ in range(2)]

    assert origins(resolutions) == {Origin.EPHEMERAL: 2}
    assert len(ids(resolutions)) == 2
    assert world.minted == []
    assert world.store.calls == {"get": 2}
    assert await world.row() is None


async def test_an_internal_handoff_with_a_fresh_row_gets_its_id_and_leaves_no_trace() -> None:
    """Not even a touch, at once or later."""
    world = World()
    process = world.process()
    row = (await process.resolve()).session_id
    before = await world.row()
    world.clock.now += 3 * 3_600_000
    resolution = await process.resolve(INTERNAL)
    await process.touches.flush()

    assert (resolution.session_id, resolution.origin) == (row, Origin.EXISTING)
    assert await world.row() == before
    assert world.store.calls["touch"] == 0


async def test_an_internal_handoff_does_not_use_a_stale_row() -> None:
    """It gets an ephemeral id, and the row waits for a real request."""
    world = World("idle=10m")
    process = world.process()
    first = await process.resolve()
    world.clock.now += 11 * MINUTE
    resolution = await process.resolve(INTERNAL)

    assert resolution.origin is Origin.EPHEMERAL
    assert resolution.session_id != first.session_id
    assert (await world.row()) == SessionRecord(first.session_id, START, START)


@pytest.mark.parametrize("processes", [1, 4])
async def test_a_stale_row_is_replaced_exactly_once(processes: int) -> None:
    """Concurrency makes no second generation."""
    world = World("idle=10m")
    old = (await world.process().resolve()).session_id
    world.clock.now += 10 * MINUTE + 1
    answers = await asyncio.gather(*(world.process().resolve_many(25) for _ in range(processes)))
    resolutions = [resolution for answer in answers for resolution in answer]

    assert len(ids(resolutions)) == 1
    assert old not in ids(resolutions)
    assert origins(resolutions)[Origin.NEW] == 1


async def test_a_reset_between_the_read_and_the_write_wins_and_is_adopted() -> None:
    """The reservation that started earlier takes the id the user has just chosen."""
    world = World("idle=10m")
    await world.process().resolve()
    world.clock.now += 11 * MINUTE
    stale = await world.row()

    async def reset() -> None:
        world.store.before.clear()
        await MemoryStore.reserve(world.store, ROW, "reset", stale)

    world.store.before["reserve"] = reset
    resolution = await world.process().resolve()

    assert (resolution.session_id, resolution.origin) == ("reset", Origin.JOINED)


async def test_a_touch_between_the_read_and_the_write_keeps_the_conversation() -> None:
    """Somebody's real request has just shown it alive."""
    world = World("idle=10m")
    first = await world.process().resolve()
    world.clock.now += 11 * MINUTE

    async def touch() -> None:
        world.store.before.clear()
        await MemoryStore.touch(world.store, [Touch(ROW, first.session_id, 0)])

    world.store.before["reserve"] = touch
    process = world.process()
    resolution = await process.resolve()

    assert (resolution.session_id, resolution.origin) == (first.session_id, Origin.JOINED)
    assert len(process.touches) == 1


async def test_a_reservation_that_loses_to_a_stale_row_tries_again_with_the_same_candidate() -> None:
    """The row that beat it is judged like any other."""
    world = World("daily@4")
    await world.process().resolve()
    world.clock.now += 48 * 3_600_000
    ancient = SessionRecord("ancient", START - 1, START - 1)

    async def swap() -> None:
        world.store.before.clear()
        world.store._rows[ROW] = ancient

    world.store.before["reserve"] = swap
    resolution = await world.process().resolve()

    assert (resolution.session_id, resolution.origin) == ("id-2", Origin.NEW)
    assert world.store.calls["reserve"] == 3


async def test_a_row_that_never_stops_changing_is_unavailable_and_not_forked() -> None:
    """After a few tries the answer is 503."""
    world = World("daily@4")
    await world.process().resolve()
    world.clock.now += 48 * 3_600_000
    number = 0

    async def swap() -> None:
        nonlocal number
        number += 1
        world.store._rows[ROW] = SessionRecord(f"ancient-{number}", START, START)

    world.store.before["reserve"] = swap
    with pytest.raises(StoreUnavailable, match="too many"):
        await world.process().resolve()
    with pytest.raises(StoreUnavailable, match="too many"):
        await world.process().guard.reset("key")


async def test_a_request_that_always_comes_too_late_is_unavailable_and_not_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looks again a few times, and no more."""
    world = World()
    process = world.process()

    async def too_late(*arguments: Any) -> None:
        return None

    monkeypatch.setattr(process.resolver, "_join", too_late)
    with pytest.raises(StoreUnavailable, match="too many"):
        await process.resolve()

    assert world.store.calls["get"] == TRIES


async def test_reset_always_rebinds_and_never_leaves_a_hole() -> None:
    """Over a standing row, over none, and over one that changes under its hands."""
    world = World()
    process = world.process()
    created = await process.guard.reset("key")

    async def overtake() -> None:
        world.store.before.clear()
        row = await world.row()
        await MemoryStore.reserve(world.store, ROW, "overtaking", row)

    world.store.before["reserve"] = overtake
    rebound = await process.guard.reset("key")
    row = await world.row()

    assert row is not None
    assert rebound.session_id == row.session_id
    assert len({created.session_id, rebound.session_id, "overtaking"}) == 3
    assert (await process.resolve()).session_id == rebound.session_id


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("period", [MINUTE, MINUTE - 1], ids=["every minute", "a little more often"])
async def test_a_conversation_in_use_every_minute_never_rotates(processes: int, period: int) -> None:
    """Twelve simulated hours under the shortest idle limit the settings allow, one process or several in turn."""
    world = World("idle=2m")
    workers = [world.process() for _ in range(processes)]
    resolutions = []
    next_flush = world.clock.now + MINUTE
    for number in range(12 * 60):
        resolutions.append(await workers[number % processes].resolve())
        world.clock.now += period
        if world.clock.now >= next_flush:
            next_flush += MINUTE
            for worker in workers:
                await worker.touches.flush()

    assert len(ids(resolutions)) == 1
    assert world.store.calls["touch"] <= 2 * 12 * 60


async def test_a_pending_touch_counts_before_it_is_written() -> None:
    """The process that has just served the conversation knows better than the stored row."""
    world = World("idle=10m")
    process = world.process()
    first = await process.resolve()
    world.clock.now += 3 * MINUTE
    await process.resolve()
    world.clock.now += 8 * MINUTE

    assert (await process.resolve()).session_id == first.session_id
    assert world.store.calls["touch"] == 1


@pytest.mark.parametrize(
    ("reset", "idle", "written"),
    [
        ("none", 59 * MINUTE, 0),
        ("none", 60 * MINUTE, 1),
        ("idle=10m", 8 * MINUTE, 0),
        ("idle=10m", 9 * MINUTE, 1),
        ("idle=2m", MINUTE - 1, 0),
        ("idle=2m", MINUTE, 1),
    ],
)
async def test_a_row_in_danger_is_touched_before_the_application_runs(reset: str, idle: int, written: int) -> None:
    """Close to expiry, or long idle and so near a clean-up; otherwise the touch waits for its batch."""
    world = World(reset)
    process = world.process()
    await process.resolve()
    world.clock.now += idle
    await process.resolve()

    assert world.store.calls["touch"] == written
    assert len(process.touches) == 1 - written


async def test_a_touch_the_store_does_not_take_waits_and_the_request_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """An established conversation survives a store that can only be read."""
    world = World()
    process = world.process()
    first = await process.resolve()
    world.clock.now += 2 * 3_600_000

    async def refuse() -> None:
        raise StoreUnavailable("full")

    world.store.before["touch"] = refuse
    second = await process.resolve()

    assert second.session_id == first.session_id
    assert len(process.touches) == 1
    assert "kept for the next attempt" in caplog.text


@pytest.mark.parametrize("skew", [-86_400_000, -120_000, 120_000, 86_400_000])
async def test_a_host_whose_clock_is_wrong_rotates_nothing(skew: int) -> None:
    """Before a row is called stale the store's own clock is asked; touches are ages, not times."""
    world = World("idle=2m")
    right, wrong = world.process(), world.process(skew=skew)
    resolutions = []
    for number in range(60):
        resolutions.append(await (wrong if number % 2 else right).resolve())
        world.clock.now += MINUTE
        for process in (right, wrong):
            await process.touches.flush()

    assert len(ids(resolutions)) == 1


@pytest.mark.parametrize("step", [-86_400_000, 86_400_000])
async def test_a_step_of_the_clock_rotates_a_key_at_most_once(step: int) -> None:
    """Forward it looks idle, once; backward it looks young."""
    world = World("idle=10m")
    process = world.process()
    resolutions = [await process.resolve()]
    world.clock.now += step
    for _ in range(10):
        resolutions.append(await process.resolve())
        world.clock.now += MINUTE

    assert len(ids(resolutions)) == (2 if step > 0 else 1)


async def test_an_unknown_outcome_is_retried_with_the_same_candidate() -> None:
    """The write happened, the answer was lost: the id is ours, and nobody mints a second one."""
    world = World()
    lost = 2

    async def lose() -> None:
        nonlocal lost
        lost -= 1
        if lost == 0:
            world.store.after.clear()
        raise ConnectionResetError

    world.store.after["reserve"] = lose
    resolution = await world.process().resolve()

    assert (resolution.session_id, resolution.origin) == ("id-1", Origin.NEW)
    assert world.minted == ["id-1"]
    assert world.store.calls["reserve"] == 3


async def test_a_reservation_that_cannot_be_begun_is_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that a store raises, before it has anything to wait for."""
    world = World()

    def fail(offers: Sequence[Offer]) -> bool:
        raise OSError("no thread")

    monkeypatch.setattr(world.store, "begin_reserve", fail)
    resolutions = await world.process().resolve_many(3)

    assert origins(resolutions) == {Origin.NEW: 1, Origin.JOINED: 2}
    assert world.minted == ["id-1"]


async def test_nothing_is_offered_again_when_nobody_waits_any_more() -> None:
    """The store has failed so late that the one who asked has his answer."""
    world = World()
    process = world.process(timeout=0.1)
    late = asyncio.Event()

    async def fail_late() -> None:
        await late.wait()
        raise StoreUnavailable("too late")

    world.store.before["reserve"] = fail_late
    with pytest.raises(StoreUnavailable):
        await process.resolve()
    asked = world.store.calls["reserve"]
    late.set()
    while len(process.resolver._reservations):
        await asyncio.sleep(0)

    assert world.store.calls["reserve"] == asked


async def test_an_attempt_without_an_answer_is_given_up_before_the_deadline(
    clock: LoopClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 0.8 s each, so that a lost packet costs a retry and not the request; what is begun ends by itself."""
    monkeypatch.setattr(Wire, "begins", False)
    world = World()

    async def hang_once() -> None:
        world.store.before.clear()
        await asyncio.get_running_loop().create_future()

    world.store.before["reserve"] = hang_once
    resolution = await clock.advance_until(asyncio.ensure_future(world.process(timeout=2.0).resolve()))

    assert resolution.origin is Origin.NEW
    assert world.store.calls["reserve"] == 2


async def test_followers_take_over_when_the_first_callers_reservation_fails(clock: LoopClock) -> None:
    """His failure is his own."""
    world = World()
    failing = world.process(timeout=2)
    healthy = asyncio.Event()

    async def refuse_until_healthy() -> None:
        if not healthy.is_set():
            raise StoreUnavailable("down")

    world.store.before["reserve"] = refuse_until_healthy
    leader = asyncio.ensure_future(failing.resolve())
    await clock.advance(1)
    followers = [asyncio.ensure_future(failing.resolve()) for _ in range(5)]
    with pytest.raises(StoreUnavailable):
        await clock.advance_until(leader)
    healthy.set()
    resolutions = await clock.advance_until(asyncio.gather(*followers))

    assert len(ids(resolutions)) == 1
    assert origins(resolutions)[Origin.NEW] == 1


async def test_those_who_asked_at_the_same_time_take_over_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """They boarded before anything was sent; only the first caller's own time is up."""
    monkeypatch.setattr("sessionguard.attempts.PAUSE_SECONDS", 60.0)
    world = World()
    process = world.process()

    async def refuse_him() -> None:
        if world.store.calls["reserve"] == 1 + world.store.begins:
            world.store.before.clear()
        raise StoreUnavailable("down")

    world.store.before["reserve"] = refuse_him
    first, *others = await asyncio.gather(*(process.resolve() for _ in range(5)), return_exceptions=True)
    resolutions = [other for other in others if isinstance(other, Resolution)]

    assert isinstance(first, StoreUnavailable)
    assert origins(resolutions) == {Origin.NEW: 1, Origin.JOINED: 3}
    assert len(ids(resolutions)) == 1


async def test_a_failure_that_would_repeat_is_everybodys() -> None:
    """A mint that fails and a corrupt row are told to all who asked."""
    world = World()

    def mint() -> str:
        raise PolicyFailed("no id today", "minter")

    world.mint = mint  # type: ignore[method-assign]
    answers = await asyncio.gather(
        *(asyncio.gather(world.process().resolve_many(3), return_exceptions=True) for _ in "1")
    )

    async def corrupt() -> None:
        raise CorruptRecord("broken")

    world.store.before["get"] = corrupt
    with pytest.raises(CorruptRecord):
        await world.process().resolve()

    assert isinstance(answers[0][0], PolicyFailed)
    assert world.store.calls["reserve"] == 0


async def test_a_request_that_arrives_after_the_write_was_sent_looks_again() -> None:
    """Joining late must not undo a reset: the late one reads the row that stands."""
    world = World()
    process = world.process()
    sent, hold = asyncio.Event(), asyncio.Event()

    async def answer_slowly() -> None:
        sent.set()
        await hold.wait()

    world.store.after["reserve"] = answer_slowly
    early = asyncio.ensure_future(process.resolve())
    await sent.wait()
    world.store._rows.clear()
    late = asyncio.ensure_future(process.resolve())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.store.calls["get"] == 2
    world.store._rows[ROW] = SessionRecord("reset", START, START)
    hold.set()

    assert (await early).session_id == "id-1"
    assert (await late).session_id == "reset"


async def test_a_caller_who_arrives_late_waits_no_longer_than_his_own_time() -> None:
    """Each deadline counts from the caller's arrival."""
    world = World()
    process = world.process(timeout=0.2)
    world.store.before["reserve"] = asyncio.get_running_loop().create_future  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        await process.resolve()


async def test_a_reservation_that_hangs_costs_its_followers_their_deadline_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the one in front is doing."""
    monkeypatch.setattr(Reservations, "begin", lambda self, flights: None)
    process = World().process(timeout=0.1)
    answers = await asyncio.gather(process.resolve(), process.resolve(), return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    assert all("in time" in str(answer) for answer in answers)


async def test_failing_open_gives_private_ids_and_says_degraded() -> None:
    """Visible and internal alike."""
    world = World()

    async def refuse() -> None:
        raise StoreUnavailable("down")

    world.store.before["get"] = refuse
    process = world.process(on_store_error="open")
    resolutions = [await process.resolve(), await process.resolve(INTERNAL)]

    assert origins(resolutions) == {Origin.DEGRADED: 2}
    assert len(ids(resolutions)) == 2


async def run_until(task: asyncio.Task[Any], steps: int) -> None:
    for _ in range(steps):
        if task.done():
            return
        await asyncio.sleep(0)


async def steps_of(world: World) -> int:
    task = asyncio.ensure_future(world.process().resolve())
    steps = 0
    while not task.done():
        steps += 1
        await asyncio.sleep(0)
    return steps


@pytest.mark.parametrize("state", ["new", "stale", "about to expire"])
async def test_the_first_caller_may_be_cancelled_at_every_await(state: str) -> None:
    """The others still converge on the row that stands, and nothing is left in memory."""
    base = asyncio.all_tasks()

    async def prepared() -> World:
        world = World("none" if state == "new" else "idle=10m")
        if state != "new":
            await world.process().resolve()
            world.clock.now += 11 * MINUTE if state == "stale" else 10 * MINUTE
        return world

    for step in range(await steps_of(await prepared()) + 1):
        world = await prepared()
        process = world.process()
        first = asyncio.ensure_future(process.resolve())
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(process.resolve()) for _ in range(4)]
        await run_until(first, step)
        first.cancel()
        resolutions = await asyncio.gather(*others)
        await asyncio.gather(first, return_exceptions=True)
        row = await world.row()
        while asyncio.all_tasks() - base:
            await asyncio.sleep(0)

        assert row is not None
        assert ids(resolutions) == {row.session_id}
        assert origins(resolutions)[Origin.NEW] <= 1
        assert len(process.resolver._reservations) == 0


async def test_a_first_caller_who_leaves_hands_new_to_the_next() -> None:
    """Exactly one of those who remain is told that the conversation is new."""
    world = World()
    process = world.process()
    first = asyncio.ensure_future(process.resolve())
    others = [asyncio.ensure_future(process.resolve()) for _ in range(4)]
    while not world.store.calls["reserve"]:
        await asyncio.sleep(0)
    first.cancel()
    resolutions = await asyncio.gather(*others)

    assert origins(resolutions) == {Origin.NEW: 1, Origin.JOINED: 3}


async def test_a_reservation_is_finished_though_its_only_caller_leaves() -> None:
    """What was begun is not cut off in the middle."""
    base, world = asyncio.all_tasks(), World()
    reserving = asyncio.Event()

    async def pause() -> None:
        world.store.before.clear()
        reserving.set()
        for _ in range(3):
            await asyncio.sleep(0)

    world.store.before["reserve"] = pause
    caller = asyncio.ensure_future(world.process().resolve())
    await reserving.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    while asyncio.all_tasks() - base:
        await asyncio.sleep(0)

    assert await world.row() is not None


async def test_a_cancelled_reservation_is_taken_over() -> None:
    """Even somebody who cancels every task he finds cannot strand those who wait."""
    world = World()
    process = world.process()
    hold = asyncio.Event()
    world.store.before["reserve"] = hold.wait  # type: ignore[assignment]
    tasks = [asyncio.ensure_future(process.resolve()) for _ in range(3)]
    while not world.store.calls["reserve"]:
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task(), *tasks}:
        task.cancel()
    hold.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    resolutions = [answer for answer in answers if isinstance(answer, Resolution)]

    assert len(resolutions) >= 2
    assert len(ids(resolutions)) == 1


def test_event_loops_share_no_flight() -> None:
    """A future is awaited in its own loop only, and that one may have stopped turning."""
    flights = Errands()

    async def fly(name: str) -> tuple[bool, Errand[str]]:
        is_free = flights.under_way(ROW) is None
        flight = flights.run(ROW, lambda: asyncio.sleep(0, name))
        await asyncio.sleep(0)
        return is_free, flight

    async def landed(flight: Errand[str]) -> str:
        await flight.board()
        return flight.brought()

    with contextlib.closing(asyncio.new_event_loop()) as first, contextlib.closing(asyncio.new_event_loop()) as second:
        started = [loop.run_until_complete(fly(name)) for loop, name in ((first, "first"), (second, "second"))]
        brought = [
            loop.run_until_complete(landed(each)) for loop, (_, each) in zip((first, second), started, strict=True)
        ]

    assert [is_free for is_free, _ in started] == [True, True]
    assert brought == ["first", "second"]


async def test_nobody_boards_a_flight_whose_work_is_done() -> None:
    """Between the end of the work and the landing the next one begins, and the first takes nothing of it away."""
    flights = Errands()
    done = asyncio.get_running_loop().create_future()
    first = flights.run(ROW, lambda: done)
    landings = [first.board()]
    await asyncio.sleep(0)
    done.set_result("first")
    has_landed, under_way = not len(flights), flights.under_way(ROW)
    later = asyncio.get_running_loop().create_future()
    second = flights.run(ROW, lambda: later)
    landings.append(second.board())
    for _ in range(3):
        await asyncio.sleep(0)

    assert (has_landed, under_way) == (False, None)
    assert flights.under_way(ROW) is second
    later.set_result("second")
    await asyncio.gather(*landings)
    assert [first.brought(), second.brought()] == ["first", "second"]


async def test_a_caller_is_served_at_whatever_turn_of_the_loop_he_comes() -> None:
    """Nothing is remembered of the row here, since another process has won it, so each has to look for himself."""
    world = World()
    world.store.recall = lambda key: None  # type: ignore[method-assign]
    process = world.process()
    process.resolver._reads_first = False
    await MemoryStore.reserve(world.store, ROW, "theirs", None)
    callers = []
    for _ in range(40):
        callers.append(asyncio.ensure_future(process.resolve()))
        await asyncio.sleep(0)

    assert ids(await asyncio.gather(*callers)) == {"theirs"}


async def test_idle_keys_cost_no_memory() -> None:
    """Flights land, and what is pending is written and forgotten."""
    world = World()
    process = world.process()
    for _ in range(2):
        await asyncio.gather(*(process.resolve(key=b"%d" % number) for number in range(500)))
    assert len(process.touches) == 500
    await process.touches.flush()

    assert len(process.touches) == 0
    assert len(process.resolver._reservations) == 0
