"""A clock for deadlines of behaviour, on machines that are busy with something else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Self

STEP_SECONDS = 0.05


class LatenessClock:
    """Tells the time without that by which plain alarms of the running loop come late, while its block lasts.

    On a machine at rest that is simply the time; on a busy one, what is left is what the tested code takes.
    """

    def __init__(self) -> None:
        self.late = 0.0
        """How many seconds that has been so far."""

    def __call__(self) -> float:
        return time.monotonic() - self.late

    async def __aenter__(self) -> Self:
        self._watching = asyncio.ensure_future(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + STEP_SECONDS
            await asyncio.sleep(STEP_SECONDS)
            self.late += max(0.0, time.monotonic() - due)
