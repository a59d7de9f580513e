"""One process of clients that are moved: `mover.py OLD_URL NEW_URL DIRECTORY NAME`.

It asks on the old store, is refused when that is retired, goes to the new one when the file `moved` says so, and ends
when `stop` does. Everything it asks and is told is recorded, as one history over both stores.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from pathlib import Path

from sessionguard.testing.client import RecordingClient
from sessionguard.testing.history import Recorder
from sessionguard.testing.opening import open_store

IDLE = 3600.0
TASKS = 3
HOT_KEYS = 12
PAUSE_SECONDS = 0.004
NEW_KEYS_PER_SECOND = 40


class Mover:
    """Clients that share one guard; `moved` is the sign to build another on the new store."""

    def __init__(self, old: str, new: str, directory: Path, name: str) -> None:
        self._new = new
        self._directory = directory
        self._recorder = Recorder(directory / f"{name}.conversations")
        self._chance = random.Random(name)
        self._client = RecordingClient(open_store(old), self._recorder, idle=IDLE)
        self._on_new = False

    async def run(self) -> None:
        while not (self._directory / "stop").exists():
            await asyncio.gather(*(self._ask() for _ in range(TASKS)))
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._on_new and (self._directory / "moved").exists():
                self._on_new = True
                self._client = RecordingClient(open_store(self._new), self._recorder, idle=IDLE)
        await self._client.leave()

    async def _ask(self) -> None:
        dice = self._chance.random()
        if dice < 0.4:
            await self._client.resolve(f"new-{int(time.monotonic() * NEW_KEYS_PER_SECOND)}")
        elif dice < 0.5:
            await self._client.reset(f"hot-{self._chance.randrange(HOT_KEYS)}")
        else:
            await self._client.resolve(f"hot-{self._chance.randrange(HOT_KEYS)}")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # Retirements are the point here, not news.
    asyncio.run(Mover(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]).run())
