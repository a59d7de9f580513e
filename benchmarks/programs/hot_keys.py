"""One process keeps on asking for its hot keys, and counts how often its memory did not know the answer."""

import asyncio
import time

from agent import Agent
from answering import answer

TICK_SECONDS = 0.01


class HotKeys:
    """The conversations `hot-0`, `hot-1`, ... of one agent."""

    def __init__(self, directory, keys):
        self._agent = Agent(directory)
        self._keys = [f"hot-{number}" for number in range(keys)]

    async def prepare(self):
        """Open them all, and read what was written so that all are in memory."""
        for key in self._keys:
            await self._agent.request(key)

    async def ask(self, seconds, rate):
        """Ask for one after the other, `rate` times a second; returns the requests and how many reached the store."""
        before = self._agent.calls.total()
        started, asked = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            while asked < passed * rate:
                await self._agent.request(self._keys[asked % len(self._keys)])
                asked += 1
            await asyncio.sleep(TICK_SECONDS)
        return asked, self._agent.calls.total() - before


if __name__ == "__main__":
    asyncio.run(answer(HotKeys))
