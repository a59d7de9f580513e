"""What a new key costs on Redis, as the guard asks for it, and many reads at once, beside GETs of redis-py."""

import asyncio
import os
import time
import uuid

from answering import answer
from contenders import redis_client
from sessionguard_redis.store import RedisStore

from sessionguard import GuardSettings

ESTABLISHED = "default//agent:main:whatsapp:direct:+4915112345678"


class RedisKeys:
    """A store and a plain client on the same server."""

    def __init__(self):
        self._store = RedisStore.from_url(os.environ["BENCHMARK_REDIS"], GuardSettings())
        self._plain = redis_client()

    async def prepare(self):
        await self._store.reserve(ESTABLISHED, str(uuid.uuid4()), None)
        await self.time(20)

    async def time(self, times):
        """Return the nanoseconds per GET, and per new key: a read that finds nothing, and a reservation."""
        keys = [str(uuid.uuid4()) for _ in range(times)]
        started = time.perf_counter_ns()
        for _ in keys:
            await self._plain.get(f"sessionguard:{ESTABLISHED}")
        between = time.perf_counter_ns()
        for key in keys:
            await self._store.get(key)
            await self._store.reserve(key, key, None)
        return (between - started) / times, (time.perf_counter_ns() - between) / times

    async def time_together(self, at_once):
        """Return the nanoseconds of so many GETs, one after the other, and of as many reads of the store at once."""
        started = time.perf_counter_ns()
        for _ in range(at_once):
            await self._plain.get(f"sessionguard:{ESTABLISHED}")
        between = time.perf_counter_ns()
        await asyncio.gather(*(self._store.get(f"{ESTABLISHED}-{number}") for number in range(at_once)))
        return between - started, time.perf_counter_ns() - between


if __name__ == "__main__":
    asyncio.run(answer(RedisKeys))
