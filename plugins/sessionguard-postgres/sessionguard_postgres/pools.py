"""One pool of connections for every event loop that uses the store, none of them for a forked child."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from sessionguard_postgres.pool import ConnectionPool

Open = Callable[[Callable[[], object]], ConnectionPool]


class LoopPools:
    """The pools of one store. `open_pool` makes one for the running loop; it is told whom to tell when that closes."""

    def __init__(self, open_pool: Open) -> None:
        self._open_pool = open_pool
        self._pools: dict[asyncio.AbstractEventLoop, ConnectionPool] = {}
        _everybodys.add(self)

    def here(self) -> ConnectionPool:
        """Return the pool of the running loop."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            self._abandon_closed()
            pool = self._pools[loop] = self._open_pool(lambda: self._pools.pop(loop, None))
        return pool

    async def aclose(self) -> None:
        """Close the pools of all loops, in their own loop where it runs."""
        here = asyncio.get_running_loop()
        for loop, pool in [*self._pools.items()]:
            if loop is here:
                await pool.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pool.aclose(), loop))
        for loop in [loop for loop in self._pools if not loop.is_running()]:
            self._abandon(loop)

    def disown(self) -> None:
        """Forget everything, in a forked child: every word on these connections would be taken for the parent's."""
        for pool in self._pools.values():
            _silence(pool)
            _inherited.append(pool)
        self._pools = {}

    def _abandon_closed(self) -> None:
        for loop in [loop for loop in self._pools if loop.is_closed()]:
            self._abandon(loop)

    def _abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the server know that nobody will come back; a loop that is over cannot close what it opened."""
        pool = self._pools.pop(loop, None)
        for descriptor in [] if pool is None else _descriptors(pool):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as twin:
                twin.shutdown(socket.SHUT_RDWR)


def _descriptors(pool: ConnectionPool) -> Iterator[int]:
    return (descriptor for descriptor in map(_descriptor, pool.connections | pool.ears) if descriptor >= 0)


def _descriptor(connection: Any) -> int:
    # The one private attribute we touch: there is no other way to the socket.
    return int(connection._transport.get_extra_info("socket").fileno())  # noqa: SLF001


def _silence(pool: ConnectionPool) -> None:
    """Give back the child's share of the connections, and put what hears nothing and says nothing in their place."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in _descriptors(pool):
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    pool.connections.clear()
    pool.ears.clear()


_everybodys: weakref.WeakSet[LoopPools] = weakref.WeakSet()
_inherited: list[ConnectionPool] = []
"""Kept for ever, so that no finaliser says good-bye in the parent's name."""


def _disown_all() -> None:
    for pools in _everybodys:
        pools.disown()


os.register_at_fork(after_in_child=_disown_all)
