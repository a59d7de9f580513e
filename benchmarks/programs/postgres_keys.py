"""What a new key costs on Postgres, as the guard asks for it, beside a prepared SELECT of asyncpg."""

import asyncio
import time
import uuid

from answering import answer
from sessionguard_postgres import PostgresStore

ESTABLISHED = "default//agent:main:whatsapp:direct:+4915112345678"
SELECT = "select session_id, session_started_at, updated_at from sessionguard_sessions where key = $1"


class PostgresKeys:
    """A store with one connection, and a statement on that very connection.

    Two connections would not be treated alike: it decides much whether the kernel runs the backend of one of them on
    the core of its client.
    """

    def __init__(self, url):
        self._store = PostgresStore(f"{url}?create_schema=on&synchronous_commit=off&pool_size=1")

    async def prepare(self):
        """Return the version of the server."""
        await self._store.reserve(ESTABLISHED, str(uuid.uuid4()), None)
        (connection,) = self._store._pools.here().connections
        self._select = await connection.prepare(SELECT)
        await self.time(20)
        return ".".join(map(str, connection.get_server_version()[:2]))

    async def time(self, times):
        """Return the nanoseconds per SELECT, and per new key: a read that finds nothing, and a reservation."""
        keys = [str(uuid.uuid4()) for _ in range(times)]
        started = time.perf_counter_ns()
        for _ in keys:
            await self._select.fetchrow(ESTABLISHED.encode())
        between = time.perf_counter_ns()
        for key in keys:
            await self._store.get(key)
            await self._store.reserve(key, key, None)
        return (between - started) / times, (time.perf_counter_ns() - between) / times


if __name__ == "__main__":
    asyncio.run(answer(PostgresKeys))
