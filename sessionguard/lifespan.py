"""The store's life within the server's: checked before the application starts, closed behind its last user.

Nothing here is required: without a lifespan the store opens at first need and is closed when the interpreter ends.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable

from sessionguard.asgi import ASGIApp, Message, Receive, Scope, Send
from sessionguard.errors import ConfigurationError, SessionGuardError
from sessionguard.loops import running_loop
from sessionguard.store import SessionStore

CHECK_SECONDS = 2.0

log = logging.getLogger("sessionguard")

_users: Counter[int] = Counter()
_users_lock = threading.Lock()


class StoreLifespan:
    """One guard's part in the life of its store.

    `flush` writes what the guard still holds for it, `announce` is called when the store has answered for the first
    time.
    """

    def __init__(self, store: SessionStore, flush: Callable[[], Awaitable[None]], announce: Callable[[], None]) -> None:
        self._store = store
        self._flush = flush
        self._announce = announce

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a lifespan through; a store that cannot work fails the start before the application sees it."""
        received = [await receive()]
        try:
            await self._check()
        except ConfigurationError as error:
            log.error("%s", error)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        leave = self._enter()

        async def replay() -> Message:
            return received.pop() if received else await receive()

        async def watch(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await leave()
            await send(message)

        try:
            await app(scope, replay, watch)
        finally:
            await leave()

    async def _check(self) -> None:
        running_loop()
        try:
            await asyncio.wait_for(self._store.ping(), CHECK_SECONDS)
        except ConfigurationError:
            raise
        except Exception as error:
            log.warning("the session store does not answer yet (%r); requests with a key will be refused", error)
        else:
            self._announce()

    def _enter(self) -> Callable[[], Awaitable[None]]:
        with _users_lock:
            _users[id(self._store)] += 1
        entered = [True]

        async def leave() -> None:
            if not entered:
                return
            entered.clear()
            await self._flush_quietly()
            with _users_lock:
                _users[id(self._store)] -= 1
                is_last = not _users[id(self._store)]
                if is_last:
                    del _users[id(self._store)]
            if is_last:
                await self._store.aclose()

        return leave

    async def _flush_quietly(self) -> None:
        try:
            await self._flush()
        except SessionGuardError as error:
            log.warning("signs of life were not written before the store closed: %s", error)
