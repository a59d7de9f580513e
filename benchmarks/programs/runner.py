"""One process of a race for the same new keys. Nobody gives the signal: the clock says when a key's turn has come."""

import asyncio
import time
import uuid

from answering import answer

from sessionguard.testing.opening import open_store


class Runner:
    """Reserves what others reserve at the same moment."""

    def __init__(self, directory):
        self._store = open_store(f"disk://{directory}")

    async def prepare(self):
        await self._store.ping()

    async def run(self, name, start, turns, turn_seconds):
        """Return the seconds of each reservation; `start` is a moment of the monotonic clock."""
        seconds = []
        for turn in range(turns):
            await asyncio.sleep(start + turn * turn_seconds - time.monotonic())
            key, candidate = f"default//agent:main:{name}-{turn}", str(uuid.uuid4())
            began = time.perf_counter()
            await self._store.reserve(key, candidate, None)
            seconds.append(time.perf_counter() - began)
        return seconds


if __name__ == "__main__":
    asyncio.run(answer(Runner))
