"""One process of a race: `python -m sessionguard.testing.racer PLAN` with the plan as JSON.

Nobody gives the signal: every racer reads from the clock whose turn it is, so that all come to a conversation at the
same moment, those who are late skip to the next one, and the death of one is nothing to the others. The last turn is
never skipped, so that on the slowest machine every racer does something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sessionguard.testing.client import RecordingClient
from sessionguard.testing.failing_store import FailingStore, Fault
from sessionguard.testing.history import Recorder
from sessionguard.testing.opening import open_store
from sessionguard.testing.recording_store import RecordingStore

IDLE = 2.0
TURN_SECONDS = 0.02
TURNS_UNTIL_STALE = 4 * int(1.1 * IDLE / TURN_SECONDS / 4 + 1)
TURNS_OF_A_HOT_KEY = 100

Ask = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Plan:
    """What one racer does, from `start`, in nanoseconds of the monotonic clock, for so many turns.

    `faults` is the share of calls to the store that fail, and of turns in which a client leaves.
    """

    url: str
    directory: str
    name: str
    start: int
    turns: int
    threads: int = 2
    tasks: int = 2
    faults: float = 0.0


class Racer:
    """Takes part in every turn it is in time for, and in the last one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.name)
        directory = Path(plan.directory)
        failing = FailingStore(open_store(plan.url), self._fault)
        store = RecordingStore(failing, Recorder(directory / f"{plan.name}.rows"))
        self._store = store
        self._client = RecordingClient(store, Recorder(directory / f"{plan.name}.conversations"), idle=IDLE)

    def run(self) -> None:
        """Race in as many threads as the plan says, each with an event loop of its own."""
        with ThreadPoolExecutor(self._plan.threads) as threads:
            for finished in [threads.submit(asyncio.run, self._race(n)) for n in range(self._plan.threads)]:
                finished.result()
        asyncio.run(self._store.aclose())

    async def _race(self, thread: int) -> None:
        turn, last = -1, self._plan.turns - 1
        while turn < last:
            turn = min(max(turn + 1, self._turn_by_the_clock()), last)
            await asyncio.sleep(self._plan.start / 1e9 + turn * TURN_SECONDS - time.monotonic())
            tasks = [asyncio.ensure_future(self._take(turn, thread, task)) for task in range(self._plan.tasks)]
            if self._chance.random() < self._plan.faults:
                await asyncio.sleep(self._chance.uniform(0, TURN_SECONDS / 4))
                tasks[0].cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    def _turn_by_the_clock(self) -> int:
        return int((time.monotonic_ns() - self._plan.start) / 1e9 / TURN_SECONDS)

    async def _take(self, turn: int, thread: int, task: int) -> None:
        """Do one thing in a turn, now and then twice."""
        key, ask = self._choose(turn, thread, task)
        await ask(key)
        if turn % 4 == 2:
            await self._client.resolve(key)

    def _choose(self, turn: int, thread: int, task: int) -> tuple[str, Ask]:
        """Every fourth turn is for a new key, one that is being reset, one that is hot, and one that is stale."""
        client, first = self._client, thread == task == 0
        race = f"{self._plan.start:x}"
        if turn % 4 == 1:
            return f"{race}-new-{turn - 1}", client.reset if first and self._chance.random() < 0.5 else client.resolve
        if turn % 4 == 2:
            return f"{race}-hot-{turn // TURNS_OF_A_HOT_KEY}", client.hand_off if first else client.resolve
        stale = turn - 3 - TURNS_UNTIL_STALE
        return f"{race}-new-{stale if turn % 4 == 3 and stale >= 0 else turn}", client.resolve

    def _fault(self, call: int) -> Fault | None:
        if self._chance.random() >= self._plan.faults:
            return None
        return self._chance.choices(list(Fault), [20, 20, 1])[0]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # Faults are the point here, not news.
    Racer(Plan(**json.loads(sys.argv[1]))).run()
