"""What a store with many keys costs: on disk, per request, and in memory."""

import asyncio
import contextlib
import gc
import itertools
import random
import resource
import time
from pathlib import Path

from agent import Agent
from answering import answer

from sessionguard.records import SessionRecord
from sessionguard.stores.disk.opening import open_database
from sessionguard.stores.embedded.memory import MOST_ROWS
from sessionguard.testing.opening import open_store

BATCH = 10_000
AT_ONCE = 500
NOW = 1_790_000_000_000


class Growth:
    """A disk store of `keys` conversations with phone numbers, which came in no particular order."""

    def __init__(self, directory, keys):
        self._directory = Path(directory)
        self._numbers = random.Random(0).sample(range(10**8), keys)
        self._agent = Agent(directory)

    async def fill(self):
        """Write the rows as the store does; returns bytes on disk per key, and the bytes of a key."""
        database = open_database(self._directory / "cache.db", "full")
        numbers = iter(self._numbers)
        while batch := list(itertools.islice(numbers, BATCH)):
            with database.transaction():
                database.write({row_key(number): record_of(number) for number in batch})
        database.close()
        size = sum(file.stat().st_size for file in self._directory.iterdir())
        return size / len(self._numbers), len(row_key(0))

    async def time_hot(self, keys, calls):
        """Return the nanoseconds per request for one of so many keys that are in use."""
        hot = [session_key(number) for number in self._numbers[:keys]]
        for key in hot:
            await self._agent.request(key)
            await self._agent.request(key)
        started = time.perf_counter_ns()
        for key in itertools.islice(itertools.cycle(hot), calls):
            await self._agent.request(key)
        return (time.perf_counter_ns() - started) / calls

    async def time_cold(self, calls):
        """Return the nanoseconds per request for a key that nobody has asked for."""
        cold = [session_key(number) for number in self._numbers[-calls:]]
        started = time.perf_counter_ns()
        for key in cold:
            await self._agent.request(key)
        return (time.perf_counter_ns() - started) / calls

    async def remember(self):
        """Read more rows than memory holds, until it is full; returns how many are in it, and the bytes it takes."""
        store = open_store(f"disk://{self._directory}")
        numbers = self._numbers[: 3 * MOST_ROWS]
        await self._fill_page_cache(store, len(numbers))
        before, rows = resident(), count_rows()
        for start in range(0, len(numbers), AT_ONCE):
            await asyncio.gather(*(store.get(row_key(number)) for number in numbers[start : start + AT_ONCE]))
        return count_rows() - rows, resident() - before

    async def _fill_page_cache(self, store, rows):
        """Let SQLite have its own memory first; what a listing reads is not remembered."""
        async with contextlib.aclosing(store.scan()) as listing:
            async for _ in listing:
                rows -= 1
                if not rows:
                    break
        await store.ping()  # The thread holds on to its last answer until it has another one.


def session_key(number):
    return f"agent:main:whatsapp:direct:+49151{number:08}"


def row_key(number):
    return f"default//{session_key(number)}"


def record_of(number):
    return SessionRecord(f"3f2a7d1e-77aa-4e55-9c58-{number:012}", NOW, NOW)


def count_rows():
    gc.collect()
    return sum(type(each) is SessionRecord for each in gc.get_objects())


def resident():
    """Return the bytes of memory this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    asyncio.run(answer(Growth))
