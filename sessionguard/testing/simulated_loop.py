"""An event loop without real time: its clock jumps to the next timer whenever nothing is left to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Timeless(selectors.SelectSelector):
    """A selector that never waits: it hands the time it was told to wait to `skip`."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self._skip(max(0.0, timeout))
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when nothing is left to do."""

    def __init__(self) -> None:
        self._simulated = 0.0
        super().__init__(Timeless(self._skip))
        self.set_debug(False)  # Python's development mode would make thousands of schedules take minutes.

    def time(self) -> float:
        return self._simulated

    def _skip(self, seconds: float) -> None:
        # A little more than asked for, or rounding could make a timer wait for ever.
        self._simulated += seconds + 1e-6
