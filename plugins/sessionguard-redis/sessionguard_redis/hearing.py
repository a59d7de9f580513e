"""The channel on which a server calls those whose turn has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import TimeoutError as RedisTimeoutError

from sessionguard_redis.deadline import Deadline

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from sessionguard.ear import Tell

QUIET_SECONDS = 10.0
"""After so long without a word the server is asked whether it is still there."""


async def hear(connection: AbstractConnection, channel: bytes, timeout: float, tell: Tell) -> None:
    """Tell None when nothing is missed any more, then every message; raises when the server is not heard any more.

    The server may take `timeout` seconds to connect and subscribe, and to answer when it was quiet for long.
    """
    try:
        with Deadline(timeout):
            await connection.connect()  # type: ignore[no-untyped-call]
            await _say(connection, "SUBSCRIBE", channel)
            await connection.read_response()
        tell(None)
        is_asked = False
        while True:
            reply = await connection.read_response(timeout=timeout if is_asked else QUIET_SECONDS)
            if reply is None and is_asked:
                raise RedisTimeoutError(f"no answer within {timeout:g} s")
            is_asked = reply is None
            if is_asked:
                await _say(connection, "PING")
            elif reply[0] == b"message":
                tell(reply[2].decode())
    finally:
        await connection.disconnect(nowait=True)


async def _say(connection: AbstractConnection, *command: str | bytes) -> None:
    await connection.send_packed_command(connection.pack_command(*command), check_health=False)
