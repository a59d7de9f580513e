"""Another process on the same store: it makes new keys, and uses the ones that others hold dear."""

import asyncio
import itertools
import time
import uuid

from answering import answer

from sessionguard.records import Touch
from sessionguard.testing.opening import open_store

TICK_SECONDS = 0.01


class Neighbour:
    """Works at a pace of its own, or as fast as it can."""

    def __init__(self, directory):
        self._store = open_store(f"disk://{directory}")
        self._numbers = itertools.count()

    async def work(self, seconds, rate, hot_keys):
        """Make `rate` new keys and touch as many of the `hot_keys` per second; returns how many of each it was."""
        hot = [[key, record.session_id] async for key, record in self._store.scan() if ":hot-" in key][:hot_keys]
        started, done = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            due = range(done, int(passed * rate))
            touches = [Touch(*hot[number % len(hot)], 0) for number in due]
            await asyncio.gather(*(self._new() for _ in due), self._store.touch(touches))
            done += len(due)
            await asyncio.sleep(TICK_SECONDS)
        return done

    async def hammer(self, seconds, at_once):
        """Make new keys as fast as the store takes them, so many at once; returns how many it took."""
        started, done = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            await asyncio.gather(*(self._new() for _ in range(at_once)))
            done += at_once
        return done

    async def _new(self):
        key = f"default//agent:main:{uuid.uuid4()}-{next(self._numbers)}"
        await self._store.reserve(key, str(uuid.uuid4()), None)


if __name__ == "__main__":
    asyncio.run(answer(Neighbour))
