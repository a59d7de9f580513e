"""The channel on which the server calls those whose turn has come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionguard.ear import Tell
    from sessionguard_postgres.job import Connection

CHANNEL = "sessionguard_leases"
QUIET_SECONDS, ANSWER_SECONDS = 10.0, 2.0
"""After so long without a word the server is asked whether it is still there, and has so long to answer."""


async def hear(connect: Callable[[], Awaitable[Connection]], ears: set[Connection], tell: Tell) -> None:
    """Tell None when nothing is missed any more, then every message; raises when the server is not heard any more.

    The connection is among `ears` while it is used.
    """
    connection = await connect()
    ears.add(connection)
    lost = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, lambda *message: tell(str(message[-1])))
        tell(None)
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(lost.wait(), QUIET_SECONDS)
            await connection.execute("select", timeout=ANSWER_SECONDS)
    finally:
        ears.discard(connection)
        connection.terminate()
