"""One connection to one server, for one batch of commands at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sessionguard_redis import inspection
from sessionguard_redis.deadline import Deadline, DeadlinePassed
from sessionguard_redis.script import Command

TRUSTED_SECONDS = 1.0
UNREACHABLE = (RedisConnectionError, RedisTimeoutError, OSError, DeadlinePassed)
FAILURES = (RedisError, OSError, DeadlinePassed)

Reply = Any


class Lane:
    """Connects when it is first used, and again after a failure.

    `inspect` is given what the server says of itself, after connecting and then once a second while the lane is used,
    and raises for a server that must not be trusted: one that has become a replica, for instance. A batch takes at
    most `timeout` seconds, connecting included.
    """

    def __init__(
        self, connection: AbstractConnection, inspect: Callable[[Mapping[str, str]], None], timeout: float
    ) -> None:
        self._connection = connection
        self._inspect = inspect
        self._timeout = timeout
        self._trusted_until = 0.0

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies in order, those that are errors as exceptions.

        Raises RedisError, OSError or DeadlinePassed when the connection fails; whether any command was carried out is
        then unknown. Nothing is ever sent twice.
        """
        with Deadline(self._timeout):
            try:
                if not (self._connection.is_connected and time.monotonic() < self._trusted_until):
                    await self._prepare()
                return await self._exchange(commands)
            except BaseException:
                # Replies may still be on their way, and must not be taken for those to the next commands.
                self._trusted_until = 0.0
                await self._connection.disconnect(nowait=True)
                raise

    async def aclose(self) -> None:
        """Disconnect. Over TLS the server has a word in that, which is waited for no longer than for a connection."""
        self._trusted_until = 0.0
        with contextlib.suppress(RedisTimeoutError):
            await self._connection.disconnect()

    async def _prepare(self) -> None:
        if self._connection.is_connected:
            try:
                await self._look()
                return
            except (RedisConnectionError, OSError):
                await self._connection.disconnect(nowait=True)
        await self._connection.connect()  # type: ignore[no-untyped-call]
        await self._look()

    async def _look(self) -> None:
        [reply] = await self._exchange([("INFO",)])
        if isinstance(reply, Exception):
            raise reply
        self._inspect(inspection.parse(reply))
        self._trusted_until = time.monotonic() + TRUSTED_SECONDS

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        connection = self._connection
        # The stub of hiredis has it that a command is one word.
        packed = b"".join(map(hiredis.pack_command, commands))  # type: ignore[arg-type]
        await connection.send_packed_command(packed, check_health=False)
        return [await self._reply() for _ in commands]

    async def _reply(self) -> Reply:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error
