"""A guard with the turn gate, which counts what each turn asks of the leases of the store."""

import asyncio
from collections import Counter

from agent import Agent
from answering import answer

from sessionguard.testing.opening import open_store

VERBS = ("acquire", "renew", "release")


class Turns:
    """The gate is that of the plugin, which is installed here; `wait` is its mode."""

    def __init__(self, store):
        self._asked = Counter()
        opened = open_store(store)
        for verb in VERBS:
            setattr(opened, verb, self._counted(verb, getattr(opened, verb)))
        self._agent = Agent("", opened)

    def _counted(self, verb, ask):
        async def asked(*arguments, **options):
            self._asked[verb] += 1
            return await ask(*arguments, **options)

        return asked

    async def take(self, turns):
        """Return how often so many requests, one after the other, have asked the store for each verb."""
        for _ in range(turns):
            await self._agent.request("turns")
        return dict(self._asked)


if __name__ == "__main__":
    asyncio.run(answer(Turns))
