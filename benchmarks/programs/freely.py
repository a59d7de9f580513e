"""One process of the torture: it changes conversations as it likes, or asks for them; every answer is written down."""

import asyncio
import contextlib
import random
import time
from pathlib import Path

from agent import Agent, Refused
from answering import answer

from sessionguard import StoreUnavailable
from sessionguard.testing.history import Recorder, read
from sessionguard.testing.models import judge_rows
from sessionguard.testing.opening import open_store
from sessionguard.testing.recording_store import RecordingStore

BREATH_SECONDS = 0.001


class Freely:
    """`keys` conversations on the store in `directory`, what it answers in the file `name` of `histories`."""

    def __init__(self, directory, histories, name, keys):
        self._histories = Path(histories)
        self._store = RecordingStore(open_store(f"disk://{directory}"), Recorder(self._histories / name))
        self._agent = Agent(directory, self._store)
        self._keys = [f"torn-{number}" for number in range(keys)]
        self._chance = random.Random(name)

    async def write(self, seconds):
        """Reset, forget and reserve; returns how often."""
        return await self._go_on(seconds, self._change)

    async def read(self, seconds):
        """Ask; returns how often."""
        return await self._go_on(seconds, self._agent.request)

    async def judge(self):
        """Return how many answers of the store there were in all, and those that no order of operations explains."""
        operations = read(self._histories.iterdir())
        return len(operations), [str(violation) for violation in judge_rows(operations)]

    async def _go_on(self, seconds, step):
        started, steps = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            # What has no answer may have happened or not; the judge knows.
            with contextlib.suppress(StoreUnavailable, Refused):
                await step(self._chance.choice(self._keys))
            steps += 1
            if steps % 64 == 0:
                await asyncio.sleep(BREATH_SECONDS)
        return steps

    async def _change(self, key):
        choice = self._chance.randrange(3)
        if choice == 0:
            await self._agent.reset(key)
        elif choice == 1:
            await self._agent.request(key)
        elif (row := await self._store.get(f"default//agent:main:{key}")) is not None:
            await self._store.forget(f"default//agent:main:{key}", row.session_id)


if __name__ == "__main__":
    asyncio.run(answer(Freely))
