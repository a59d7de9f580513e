"""How late an event loop wakes that serves conversations, some of them new."""

import asyncio
import itertools
import time

from agent import Agent
from answering import answer

TICK_SECONDS = 0.001
TICKS_PER_NEW_KEY = 20


class LoopLag:
    """An agent, and what its event loop makes of a timer."""

    def __init__(self, directory):
        self._agent = Agent(directory)
        self._numbers = itertools.count()

    async def sample(self, seconds):
        """Return by how many seconds the loop woke late, tick by tick; in every tick a request is under way."""
        lags, requests = [], set()
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            number = next(self._numbers)
            key = f"new-{number}" if number % TICKS_PER_NEW_KEY == 0 else "established"
            request = asyncio.ensure_future(self._agent.request(key))
            requests.add(request)
            request.add_done_callback(requests.discard)
            await asyncio.sleep(TICK_SECONDS)
            lags.append(time.perf_counter() - before - TICK_SECONDS)
        await asyncio.gather(*requests)
        return lags


if __name__ == "__main__":
    asyncio.run(answer(LoopLag))
