"""A request that waits is read ahead, since only so can one see its client leave; the application misses nothing."""

from __future__ import annotations

import asyncio
from collections import deque

from sessionguard.asgi import Message, Receive

MOST_BYTES = 65_536
"""When so much of a body is held, no more is read until the request is let in."""

_LEAVING = ("http.disconnect", "websocket.disconnect")


class ReadAhead:
    """What a client has sent while its request was waiting, and `receive` for the application afterwards."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._held: deque[Message] = deque()
        self._size = 0
        self._coming: asyncio.Task[Message] | None = None
        self.client_left = False

    def next(self) -> asyncio.Task[Message] | None:
        """Return what brings the next message, None when enough is held; `take` it when it is done."""
        if self._coming is None and self._size < MOST_BYTES and not self.client_left:
            self._coming = asyncio.ensure_future(_message(self._receive))
            self._coming.add_done_callback(_failed)
        # One that has failed is left to the application, which would have seen it fail.
        return None if self._coming is None or _failed(self._coming) else self._coming

    def take(self) -> None:
        """Hold the message that has come, if one has."""
        if self._coming is None or not self._coming.done() or _failed(self._coming):
            return
        message = self._coming.result()
        self._coming = None
        self._held.append(message)
        self._size += len(message.get("body") or b"")
        self.client_left = message["type"] in _LEAVING

    async def receive(self) -> Message:
        """Return the messages in the order in which the client has sent them."""
        while not self._held and self._coming is not None:
            coming = self._coming
            await asyncio.wait([coming])  # Cancelling this leaves the message where the next call finds it.
            if coming is self._coming:
                self._coming = None
                return coming.result()
        return self._held.popleft() if self._held else await self._receive()

    def close(self) -> None:
        """Wait no longer for what nobody will read."""
        if self._coming is not None:
            self._coming.cancel()


async def _message(receive: Receive) -> Message:
    return await receive()


def _failed(task: asyncio.Task[Message]) -> bool:
    """Say whether it has failed; being asked, asyncio does not complain that nobody has."""
    return task.done() and (task.cancelled() or task.exception() is not None)
