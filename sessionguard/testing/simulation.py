"""A whole deployment in one thread and no real time: the real resolver and single flight, everything else from a seed.

    python -m sessionguard.testing.simulation 1000000

plays a million schedules and prints the seeds that broke the law. Processes, clients, a store behind a faulty wire,
crashes and a clock that jumps are drawn from one random generator, so a seed is a schedule and replays exactly.
Afterwards the history is judged: every id that was handed out must have been the one that stood in the store at some
moment of its request, and no row was ever replaced without a reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sessionguard.attempts import StoreAttempts
from sessionguard.errors import StoreUnavailable
from sessionguard.freshness import ResetPolicy
from sessionguard.records import Origin, Resolution, ResolutionRequest
from sessionguard.resolver import Established, SessionResolver
from sessionguard.testing.faulty_store import FaultyStore
from sessionguard.testing.simulated_loop import SimulatedLoop
from sessionguard.touches import MILLISECOND, PendingTouches

KEY = "agent:main:simulated"
ROW = f"default//{KEY}"
EPOCH = 1_700_000_000_000
RESETS = ("none", "idle=2m", "idle=2m")
TOUCH_INTERVAL = 60_000
CALM_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What one request was told, and when it asked and was answered, in steps of the store's history."""

    session_id: str
    asked: int
    answered: int


@dataclass
class Verdict:
    """What a schedule came to; `faults` is empty when the law held."""

    seed: int
    requests: int = 0
    answers: list[Answer] = field(default_factory=list)
    stood: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Process:
    """One worker: two resolvers, one of which mints the ids of resets, with a clock that may be wrong."""

    def __init__(self, world: World, skew: int) -> None:
        attempts = StoreAttempts(world.store)
        self.tasks: set[asyncio.Task[None]] = set()
        self._known: Established | None = None
        self.touches = PendingTouches(attempts.touch, TOUCH_INTERVAL, lambda: world.clock() * MILLISECOND)
        self.resolver = self._resolver(world, attempts, world.mint, skew)
        self.resetter = self._resolver(world, attempts, world.mint_for_reset, skew)

    def recall(self, request: ResolutionRequest) -> Resolution | None:
        """Answer as a guard does that has seen this request before."""
        if self._known is None or request.internal or not self.resolver.still_holds(self._known):
            self._known = self.resolver.recall(request)
        return None if self._known is None else self._known.resolution

    def _resolver(self, world: World, attempts: StoreAttempts, mint: Callable[..., str], skew: int) -> SessionResolver:
        return SessionResolver(
            attempts,
            self.touches,
            reset=world.policy,
            mint=mint,
            clock=lambda: world.clock() + skew,
            reserve_timeout=2.0,
            touch_interval=TOUCH_INTERVAL,
            reads_first=world.reads_first,
        )


class World:
    """One schedule, drawn from `seed`."""

    def __init__(self, seed: int) -> None:
        self.verdict = Verdict(seed)
        self._chance = random.Random(seed)
        self.reads_first = seed % 2 == 0
        self.policy = ResetPolicy.parse(self._chance.choice(RESETS))
        self._step = 0
        self.store = FaultyStore(self._chance, self.clock, self.policy)
        self._private: list[str] = []
        self._minted = 0

    def clock(self) -> int:
        return EPOCH + self._step + int(asyncio.get_running_loop().time() * 1000)

    def mint(self, session_key: str, replacing: str | None) -> str:
        self._minted += 1
        return f"id-{self._minted}"

    def mint_for_reset(self, session_key: str, replacing: str | None) -> str:
        self.store.rebinding.add(minted := self.mint(session_key, replacing))
        return minted

    async def play(self) -> Verdict:
        """Let everything happen, then calm the wire and see whether all agree."""
        processes = [self._process() for _ in range(self._chance.randint(1, 3))]
        events = [self._event(processes) for _ in range(self._chance.randint(4, 16))]
        await asyncio.gather(*(asyncio.ensure_future(event) for event in events))
        self.store.calm = True
        await asyncio.sleep(CALM_SECONDS)
        # Whoever has a slow clock may still find a row alive that the next one replaces; after one round nobody may.
        for process in [*processes, *processes]:
            await self._request(process, REQUEST)
        self._judge({answer.session_id for answer in self.verdict.answers[-len(processes) :]})
        for process in processes:
            process.touches.forget()
        return self.verdict

    def _process(self) -> Process:
        return Process(self, self._chance.choice([0, 0, -300_000, 300_000]))

    async def _event(self, processes: list[Process]) -> None:
        await asyncio.sleep(self._chance.uniform(0, 5) + self._chance.choice([0, 0, 0, 90, 150, 300]))
        place = self._chance.randrange(len(processes))
        kind = self._chance.choices(["burst", "internal", "reset", "crash", "step"], [70, 8, 8, 7, 7])[0]
        if kind == "crash":
            for task in processes[place].tasks:
                task.cancel()
            processes[place].touches.forget()
            processes[place] = self._process()
        elif kind == "step":
            self._step += self._chance.choice([-86_400_000, -600_000, 600_000, 86_400_000])
        else:
            requests = [INTERNAL] if kind == "internal" else [REQUEST] * self._chance.randint(1, 4)
            await self._burst(processes[place], requests, resets=kind == "reset")

    async def _burst(self, process: Process, requests: Sequence[ResolutionRequest], *, resets: bool) -> None:
        """Several clients at once; some of them leave before they are answered."""
        tasks = [asyncio.ensure_future(self._request(process, request, resets=resets)) for request in requests]
        process.tasks.update(tasks)
        if self._chance.random() < 0.2:
            await asyncio.sleep(self._chance.expovariate(10))
            tasks[0].cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.verdict.faults.append(f"a request failed with {outcome!r}")
        process.tasks.difference_update(tasks)

    async def _request(self, process: Process, request: ResolutionRequest, *, resets: bool = False) -> None:
        self.verdict.requests += 1
        asked = len(self.store.stood) - 1
        try:
            if resets:
                resolution = await process.resetter.rebind(KEY, ROW)
            else:
                resolution = process.recall(request) or await process.resolver.resolve(request)
        except StoreUnavailable:
            return
        if resolution.origin is Origin.EPHEMERAL:
            self._private.append(resolution.session_id)
            return
        self.verdict.answers.append(Answer(resolution.session_id, asked, len(self.store.stood) - 1))

    def _judge(self, final: set[str]) -> None:
        stood, faults = self.store.stood, self.verdict.faults
        self.verdict.stood = stood
        faults += self.store.unjustified
        for answer in self.verdict.answers:
            if answer.session_id not in stood[answer.asked : answer.answered + 1]:
                faults.append(f"{answer.session_id} was handed out while it did not stand: {stood}")
        if final != {stood[-1]}:
            faults.append(f"in calm the processes say {sorted(final)}, the store says {stood[-1]}")
        if len({*self._private, *stood}) != len(self._private) + len({*stood}):
            faults.append("an ephemeral id was given to somebody else")


REQUEST = ResolutionRequest(KEY, ROW)
INTERNAL = ResolutionRequest(KEY, ROW, internal=True)


def simulate(seed: int) -> Verdict:
    """Play the schedule of `seed` from its beginning to its end, in no time, and judge it."""
    loop = SimulatedLoop()
    try:
        return loop.run_until_complete(World(seed).play())
    finally:
        loop.close()


def main(schedules: int) -> int:
    """Play the schedules 0, 1, 2, ... and print what they came to; returns 1 if any of them broke the law."""
    requests = generations = broken = 0
    for seed in range(schedules):
        verdict = simulate(seed)
        requests += verdict.requests
        generations += len(verdict.stood) - 1
        broken += bool(verdict.faults)
        for fault in verdict.faults:
            print(f"seed={seed}: {fault}")
    print(f"{schedules} schedules, {requests} requests, {generations} generations: {broken} broken")
    return int(broken > 0)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # A broken wire is the point here, not news.
    sys.exit(main(int(sys.argv[1])))
