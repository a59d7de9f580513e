"""A race of real processes for the same conversations on one store, and the verdict on what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sessionguard.testing.history import Operation, Recorder, read
from sessionguard.testing.linearizability import Violation
from sessionguard.testing.models import judge_conversations, judge_rows
from sessionguard.testing.opening import open_store
from sessionguard.testing.racer import IDLE, Plan
from sessionguard.testing.recording_store import RecordingStore

HEAD_START = 1_000_000_000
UNTIL_KILLED = 100_000_000


class RunningRacer:
    """The process of one racer."""

    def __init__(self, plan: Plan) -> None:
        self._history = Path(plan.directory) / f"{plan.name}.conversations"
        self._errors = self._history.with_suffix(".errors")
        command = [sys.executable, "-m", "sessionguard.testing.racer", json.dumps(dataclasses.asdict(plan))]
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(command, stderr=errors)

    def wait_until_racing(self) -> None:
        """Wait for the first thing it asks; raises RuntimeError if it ends before."""
        while not (self._history.exists() and self._history.stat().st_size):
            if self._process.poll() is not None:
                self.finish()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it without warning; raises RuntimeError if it has failed by itself."""
        self._process.kill()
        if self._process.wait() != -signal.SIGKILL:
            self.finish()

    def finish(self) -> None:
        """Wait for its end; raises RuntimeError, with what it said, if it failed."""
        if self._process.wait():
            raise RuntimeError(f"a racer failed:\n{self._errors.read_text()}")

    def discard(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.wait()


class Race:
    """Racers on the store at `url`, with their histories in `directory`, which must be empty."""

    def __init__(self, url: str, directory: Path, *, racers: int = 4, faults: float = 0.0) -> None:
        self._directory = directory
        self._racers = racers
        self._plan = Plan(url, str(directory), "", time.monotonic_ns() + HEAD_START, 0, faults=faults)
        self._numbers = iter(range(sys.maxsize))

    def run(self, turns: int) -> None:
        """Run the race to its end; raises RuntimeError for a racer that fails."""
        with self._racing(turns) as racers:
            for racer in racers:
                racer.finish()

    def run_with_kills(self, kills: int, seed: int = 0) -> None:
        """Kill one racer after the other with SIGKILL, at random moments, and put a new one in its place."""
        chance = random.Random(seed)
        with self._racing(UNTIL_KILLED) as racers:
            for _ in range(kills):
                place = chance.randrange(self._racers)
                racers[place].wait_until_racing()
                time.sleep(chance.uniform(0, 0.3))
                racers[place].kill()
                racers[place] = self._start(UNTIL_KILLED)
            for racer in racers:
                racer.kill()

    def read_back(self) -> None:
        """Read every row that was ever asked for, as somebody who comes afterwards."""
        recorder = Recorder(self._directory / "afterwards.rows")
        store = RecordingStore(open_store(self._plan.url), recorder)

        async def read_all() -> None:
            for key in sorted({operation.subject for operation in self.rows()}):
                await store.get(key)
            await store.aclose()

        asyncio.run(read_all())
        recorder.close()

    def conversations(self) -> list[Operation]:
        """Return what clients of guards asked, and the ids they were given."""
        return read(self._directory.glob("*.conversations"))

    def rows(self) -> list[Operation]:
        """Return what the guards asked the store, and the rows they were given."""
        return read(self._directory.glob("*.rows"))

    @property
    def judged(self) -> int:
        """How many operations, of clients and on the store, there were."""
        return len(self.conversations()) + len(self.rows())

    def unexplained(self) -> list[Violation]:
        """Return the answers to which no order of operations could have led: the store's, else those of the guards."""
        return judge_rows(self.rows()) or judge_conversations(self.conversations(), int(IDLE * 1e9))

    def openings(self) -> Counter[str]:
        """Return how many clients were told of each id that they had opened its session, those told otherwise too."""
        answers = [operation.answer for operation in self.conversations() if operation.answer is not None]
        ids: Counter[str] = Counter({session_id: 0 for session_id, origin in answers if origin != "ephemeral"})
        ids.update(session_id for session_id, origin in answers if origin == "new")
        return ids

    @contextlib.contextmanager
    def _racing(self, turns: int) -> Iterator[list[RunningRacer]]:
        """Start the racers; whatever happens, none of them outlives the race."""
        racers = [self._start(turns) for _ in range(self._racers)]
        try:
            yield racers
        finally:
            for racer in racers:
                racer.discard()

    def _start(self, turns: int) -> RunningRacer:
        return RunningRacer(dataclasses.replace(self._plan, name=f"racer-{next(self._numbers)}", turns=turns))
