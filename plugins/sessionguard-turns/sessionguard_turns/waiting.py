"""The wait for a turn: until it comes, the time is over, or the client has left. A long one is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import Any

from sessionguard_turns.lane import Place
from sessionguard_turns.readahead import ReadAhead

LONG_WAIT = 2.0
"""In seconds; OpenClaw complains of its own lanes after the same time."""

log = logging.getLogger("sessionguard")


class ClientLeft(Exception):
    """Whoever was waiting has gone; there is nobody to answer."""


async def wait(place: Place, ahead: ReadAhead, deadline: float, when_long: Callable[[], None]) -> bool:
    """Return whether the place was admitted by `deadline`, in seconds of the monotonic clock; raises ClientLeft."""
    alarms = sorted({deadline, min(deadline, place.since + LONG_WAIT)}, reverse=True)
    while not place.admitted.done():
        if alarms[-1] <= monotonic():
            alarms.pop()
            if not alarms:
                return False
            when_long()
        coming = ahead.next()
        awaited: set[asyncio.Future[Any]] = {place.admitted} if coming is None else {place.admitted, coming}
        await asyncio.wait(awaited, timeout=alarms[-1] - monotonic(), return_when=asyncio.FIRST_COMPLETED)
        ahead.take()
        if ahead.client_left:
            raise ClientLeft
    return True


async def pause(ahead: ReadAhead, seconds: float, called: asyncio.Future[None] | None = None) -> None:
    """Let so much time pass, or less if it is called; raises ClientLeft as soon as nobody waits for it."""
    end = monotonic() + seconds
    while (rest := end - monotonic()) > 0 and not (called is not None and called.done()):
        coming = ahead.next()
        awaited: set[asyncio.Future[Any]] = {each for each in (coming, called) if each is not None}
        if awaited:
            await asyncio.wait(awaited, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(rest)
        ahead.take()
        if ahead.client_left:
            raise ClientLeft


def complain_of(conversation: str, position: int, waited: float, held: float) -> None:
    """Say that somebody has been waiting for long, and behind whom; the conversation is shown as a hash of its id."""
    shown = blake2b(conversation.encode(), digest_size=4).hexdigest()
    log.warning(
        "a request of conversation %s has waited %.1f s, now at position %d; the turn under way has taken %.1f s",
        shown,
        waited,
        position,
        held,
    )
