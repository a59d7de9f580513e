"""Work of one leg, for tests of flights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """Whatever `start` awaits, and nothing behind it."""

    def __init__(self, start: Callable[[], Awaitable[T]]) -> None:
        self.start = start

    def go_on(self, done: asyncio.Future[T]) -> None:
        """It was all there was to do."""
