"""A clock of the event loop that a test moves, so that time limits pass without waiting and in a known order."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

T = TypeVar("T")

STEP_SECONDS = 0.0625
TURNS = 100
"""Turns of the loop in which everything happens that is due."""


class LoopClock:
    """Time of the running loop, which stands still until it is told to pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.now = float(int(loop.time()) + 1)
        """Whole seconds, so that a sum of them is exact."""
        monkeypatch.setattr(loop, "time", lambda: self.now)

    async def settle(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let this time pass, and everything happen that is due then."""
        await self.settle()
        self.now += seconds
        await self.settle()

    async def advance_until(self, work: asyncio.Future[T]) -> T:
        """Let time pass in small steps until `work` is done; returns its result, or raises its error."""
        await self.settle()
        while not work.done():
            await self.advance(STEP_SECONDS)
        return await work
