"""A client for every event loop of the process, and none for the processes it forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable

from sessionguard_redis.routes import Routes


class LoopClients:
    """Makes clients when they are first needed. May be used from any thread."""

    def __init__(self, make: Callable[[], Routes]) -> None:
        self._make = make
        self._clients: dict[asyncio.AbstractEventLoop, Routes] = {}
        self._lock = threading.Lock()
        _everybodys.add(self)

    def current(self) -> Routes:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        return self._clients.get(loop) or self._open(loop)

    async def aclose(self) -> None:
        """Close the client of the running loop, and have the other loops close theirs."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for loop, client in clients.items():
            if loop is asyncio.get_running_loop():
                await client.aclose()
            else:
                # A loop that has ended, or ends now, closes its own.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(client.close_soon)

    def abandon(self) -> None:
        """Forget the clients of the parent, in a forked child; what they hold is never closed here.

        Parent and child share the sockets and the selector that watches them: a child that closed one would make the
        parent deaf to it.
        """
        self._lock = threading.Lock()
        _inherited.append(self._clients)
        self._clients = {}

    def _open(self, loop: asyncio.AbstractEventLoop) -> Routes:
        client = self._make()
        with self._lock:
            self._clients = {each: client for each, client in self._clients.items() if not each.is_closed()}
            self._clients[loop] = client
        return client


_everybodys: weakref.WeakSet[LoopClients] = weakref.WeakSet()
_inherited: list[object] = []


def _abandon_all() -> None:
    for clients in _everybodys:
        clients.abandon()


os.register_at_fork(after_in_child=_abandon_all)
