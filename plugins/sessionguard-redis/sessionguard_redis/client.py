"""A few connections of one event loop, and what travels on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from redis.exceptions import NoScriptError

from sessionguard_redis.coalescer import Coalescer
from sessionguard_redis.lane import UNREACHABLE, Lane, Reply
from sessionguard_redis.redirection import is_sharded
from sessionguard_redis.script import Command, in_full

MOST_READS, MOST_COMMANDS = 1000, 250
PAUSE_SECONDS = 0.05


class RedisClient:
    """Made in a running event loop, for that loop. It is closed by `aclose`, or by the end of the loop.

    Instead of any answer can come what a lane raises.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = list(lanes)
        self._turn = asyncio.Semaphore(len(lanes))
        self._reads: Coalescer[bytes, bytes | None] = Coalescer(self._fetch, self._turn, MOST_READS)
        self._commands: Coalescer[Command, Reply] = Coalescer(self._send, self._turn, MOST_COMMANDS)
        self._is_sharded = False
        self._life = self._live()
        # Before a loop ends it closes the asynchronous generators that have started. This one starts without waiting.
        with contextlib.suppress(StopIteration):
            self._life.__anext__().send(None)

    def get(self, key: bytes) -> asyncio.Future[bytes | None]:
        """Return the value of a key; asked for again after a failure, like everything that changes nothing."""
        return self._reads.ask(key)

    def run(self, command: Command) -> asyncio.Future[Reply]:
        """Return the reply to a command, which is sent once."""
        return self._commands.ask(command)

    async def look(self, command: Command) -> Reply:
        """Return the reply to a command that changes nothing."""
        try:
            return await self.run(command)
        except UNREACHABLE:
            await asyncio.sleep(PAUSE_SECONDS)
            return await self.run(command)

    async def ask_once(self, command: Command) -> Reply:
        """Return the reply to a command on a key that is being moved to this server."""
        whole = in_full(command) if command[0] == "EVALSHA" else command
        async with self._turn:
            _, reply = await self._on_a_lane([("ASKING",), whole])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def aclose(self) -> None:
        """Finish what is under way, and disconnect."""
        await self._life.aclose()

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._reads.finish()
            await self._commands.finish()
            await asyncio.gather(*(lane.aclose() for lane in self._lanes))

    async def _fetch(self, keys: Sequence[bytes]) -> Sequence[bytes | Exception | None]:
        try:
            return await self._read(keys)
        except UNREACHABLE:
            await asyncio.sleep(PAUSE_SECONDS)
            return await self._read(keys)

    async def _read(self, keys: Sequence[bytes]) -> Sequence[bytes | Exception | None]:
        """Ask for each key once, however many want it."""
        distinct = [*dict.fromkeys(keys)]
        values = await self._values(distinct)
        if len(distinct) == len(keys):
            return values
        found = dict(zip(distinct, values, strict=True))
        return [found[key] for key in keys]

    async def _values(self, keys: Sequence[bytes]) -> Sequence[bytes | Exception | None]:
        """Read with one command where all keys are with this server, and key by key in a cluster."""
        if len(keys) > 1 and not self._is_sharded:
            [reply] = await self._on_a_lane([("MGET", *keys)])
            if isinstance(reply, list):
                return reply
            if not is_sharded(reply):
                return [reply] * len(keys)
            self._is_sharded = True
        return await self._on_a_lane([("GET", key) for key in keys])

    async def _send(self, commands: Sequence[Command]) -> Sequence[Reply]:
        replies = await self._on_a_lane(commands)
        unknown = [number for number, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # The server has refused to do them, so they are not done twice.
            again = await self._on_a_lane([in_full(commands[number]) for number in unknown])
            for number, reply in zip(unknown, again, strict=True):
                replies[number] = reply
        return replies

    async def _on_a_lane(self, commands: Sequence[Command]) -> list[Reply]:
        """Use the lane that was used last, so that those that are rarely needed rest."""
        lane = self._lanes.pop()
        try:
            return await lane.run(commands)
        finally:
            self._lanes.append(lane)
