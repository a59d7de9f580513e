"""Which server has a key: the one in the URL, or, if that is part of a cluster, the one it points to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from sessionguard.ear import Ear, Tell
from sessionguard_redis.client import RedisClient
from sessionguard_redis.lane import UNREACHABLE, Reply
from sessionguard_redis.redirection import Address, Redirection, redirection
from sessionguard_redis.script import Command

HOPS = 5

Q = TypeVar("Q")
T = TypeVar("T")


class Routes:
    """The clients of one event loop, and its ear. `connect` makes one for an address, None being that of the URL.

    A server alone never points elsewhere, so nothing is looked up for it. The map of a cluster is read when a server
    first says that a key has moved, and forgotten, as far as it leads there, when a server fails.
    """

    def __init__(
        self,
        connect: Callable[[Address | None], RedisClient],
        hear: Callable[[Address | None, Tell], Awaitable[None]],
    ) -> None:
        self.ear = Ear(self._listen)
        self._connect = connect
        self._hear = hear
        self._home: Address | None = None
        self._clients: dict[Address | None, RedisClient] = {}
        self._addresses: dict[int, Address] = {}
        self._learning = asyncio.Lock()

    def get_here(self, key: bytes) -> Awaitable[bytes | None]:
        """Return the value of a key of a server that is alone: nothing it says can lead elsewhere."""
        return self._client(self._home).get(key)

    def get(self, key: bytes) -> Awaitable[bytes | None]:
        """Return the value of a key."""
        return self._follow(key, ("GET", key), RedisClient.get, key)

    def run(self, key: bytes, command: Command) -> Awaitable[Reply]:
        """Return the reply to a command on a key; it is sent again only where a server has refused to do it."""
        return self._follow(key, command, RedisClient.run, command)

    async def look(self, command: Command) -> Reply:
        """Return the reply to a command that changes nothing and is about no key."""
        try:
            return await self._client(self._home).look(command)
        except UNREACHABLE:
            self._forget(self._home)
            raise

    async def everywhere(self, *, clustered: bool) -> Sequence[RedisClient]:
        """Return the clients of all servers that have keys."""
        if clustered:
            self._addresses.update(_map(await self.look(("CLUSTER", "SLOTS"))))
        addresses: set[Address | None] = {*self._addresses.values()}
        return [self._client(address) for address in addresses or {None}]

    async def aclose(self) -> None:
        """Finish what is under way, and disconnect."""
        await self.ear.aclose()
        for client in [*self._clients.values()]:
            await client.aclose()

    def close_soon(self) -> None:
        """Begin to close, in the loop these clients belong to."""
        self._closing = asyncio.ensure_future(self.aclose())

    async def _listen(self, tell: Tell) -> None:
        """Hear what is called on any server: in a cluster they tell each other."""
        try:
            await self._hear(self._home, tell)
        except UNREACHABLE:
            self._forget(self._home)
            raise

    def _client(self, address: Address | None) -> RedisClient:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._connect(address)
        return client

    async def _follow(
        self, key: bytes, command: Command, ask: Callable[[RedisClient, Q], Awaitable[T]], question: Q
    ) -> T | Reply:
        for _ in range(HOPS):
            address = self._addresses.get(key_slot(key), self._home) if self._addresses else self._home
            try:
                return await ask(self._client(address), question)
            except UNREACHABLE:
                self._forget(address)
                raise
            except ResponseError as error:
                pointer = redirection(error)
                if pointer is None:
                    raise
            if not pointer.for_good:
                return await self._client(pointer.address).ask_once(command)
            await self._learn(pointer, address)
        raise RedisError(f"the servers of the cluster point at each other for slot {key_slot(key)}")

    async def _learn(self, pointer: Redirection, teller: Address | None) -> None:
        """Read the whole map, once for all who were redirected; the pointer itself is the latest news."""
        async with self._learning:
            if self._addresses.get(pointer.slot) != pointer.address:
                with contextlib.suppress(ResponseError):
                    self._addresses.update(_map(await self._client(teller).look(("CLUSTER", "SLOTS"))))
                self._addresses[pointer.slot] = pointer.address

    def _forget(self, address: Address | None) -> None:
        self._addresses = {slot: each for slot, each in self._addresses.items() if each != address}
        if address == self._home:
            self._home = next((each for each in self._clients if each != address), address)


def _map(slots: Sequence[Any]) -> dict[int, Address]:
    """Return the primary's address of each slot, from the reply to CLUSTER SLOTS."""
    return {
        slot: ((host or b"").decode(), port)
        for first, last, (host, port, *_), *_ in slots
        for slot in range(first, last + 1)
    }
