"""What an application that has seen many keys keeps of the machinery that serves them."""

import asyncio
import gc
import itertools
import threading
from collections import Counter

from agent import Agent
from answering import answer

KINDS = (
    asyncio.Future,
    asyncio.Lock,
    asyncio.Event,
    asyncio.Condition,
    asyncio.Semaphore,
    asyncio.Queue,
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    type(threading.Lock()),
    type(threading.RLock()),
)
AT_ONCE = 500


class IdleKeys:
    """An agent, and its locks, futures and tasks."""

    def __init__(self, directory):
        self._agent = Agent(directory)

    async def visit(self, keys):
        """Open so many conversations, each by two requests at once and used once more.

        Returns how many more objects of each kind there are than after the first few, by name.
        """
        await self._open(range(AT_ONCE))
        before = machinery()
        for start in range(AT_ONCE, keys, AT_ONCE):
            await self._open(range(start, min(start + AT_ONCE, keys)))
        return machinery() - before

    async def _open(self, numbers):
        keys = [f"idle-{number}" for number in numbers]
        await asyncio.gather(*(self._agent.request(key) for key in [*keys, *keys]))
        await asyncio.gather(*map(self._agent.request, keys))
        await asyncio.sleep(0)


def machinery():
    """Count them, among everything the collector knows and whatever that holds (locks are unknown to it)."""
    gc.collect()
    known = gc.get_objects()
    found = {id(each): each for each in itertools.chain(known, gc.get_referents(*known)) if isinstance(each, KINDS)}
    return Counter(type(each).__name__ for each in found.values())


if __name__ == "__main__":
    asyncio.run(answer(IdleKeys))
