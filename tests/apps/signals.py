"""What one request tells another: the tests order events with these, and never with time."""

from __future__ import annotations

import asyncio


class Signal:
    """Let one waiter go on, with a word for it; the next waiter waits anew."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._word: str | None = None

    def give(self, word: str | None = None) -> None:
        self._word = word
        self._event.set()

    async def wait(self) -> str | None:
        await self._event.wait()
        self._event.clear()
        return self._word


released = Signal()
"""The rest of a stream may be made, or a background task may end."""

arrived = Signal()
"""The first chunk of an upload has been read."""

finished = Signal()
"""A background task is done; its word is the session id that it saw."""
