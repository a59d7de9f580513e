"""The leases of a store in Postgres: a row for each name, changed by one statement for each verb."""

from __future__ import annotations

import abc
import asyncio
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sessionguard import Lease, LeaseAnswer, LeaseSupport
from sessionguard.leases import TICKET
from sessionguard_postgres import statements
from sessionguard_postgres.rows import encoded

if TYPE_CHECKING:
    from sessionguard_postgres.pool import ConnectionPool

MEMORY = 60_000
"""For how many milliseconds a row is kept after its last use, so that numbers grow if the clock is set back."""
SWEEP_SECONDS, SWEEP_ROWS = 10.0, 1000


class PostgresLeases(LeaseSupport):
    """`LeaseSupport` for whoever has a `pool` of connections; `durability` is a level of synchronous_commit or None."""

    durability: str | None

    def __init__(self) -> None:
        self._sweep_at = time.monotonic() + SWEEP_SECONDS

    @abc.abstractmethod
    def pool(self) -> ConnectionPool:
        """Return the connections of the running event loop."""

    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        arguments = encoded(name), owner, duration, waited, TICKET, MEMORY, self.durability
        row = await self._changed(statements.ACQUIRE, *arguments)
        standing = None if row["owner"] is None else _lease(row["owner"], row)
        if standing is not None and standing.owner == owner:
            self._sweep()
            return LeaseAnswer(True, standing, 0, settled=False, now=standing.expires_at - duration)
        settled = row["settled_until"] > row["now"]
        ahead = 0 if settled else (standing is not None) + _ahead(json.loads(row["queue"]), owner, row["now"])
        return LeaseAnswer(False, standing, ahead, settled=settled, now=row["now"])

    async def renew(self, name: str, owner: str, duration: int) -> Lease | None:
        row = await self._changed(statements.RENEW, encoded(name), owner, duration, MEMORY)
        return None if row is None else _lease(owner, row)

    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        # Sent twice, it could say that there was nothing to give back.
        arguments = encoded(name), owner, settled_for, MEMORY
        row = await self._changed(statements.RELEASE, *arguments, repeatable=False)
        return row is not None and bool(row["is_held"])

    async def _changed(self, statement: str, *arguments: object, repeatable: bool = True) -> Any:
        return await self.pool().submit(
            lambda connection: connection.fetchrow(statement, *arguments), repeatable=repeatable
        )

    def _sweep(self) -> None:
        """Remove what is over, now and then; nobody waits for it."""
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            sweeping = self.pool().submit(lambda connection: connection.execute(statements.SWEEP_LEASES, SWEEP_ROWS))
            sweeping.add_done_callback(_is_no_news)


def _lease(owner: str, row: Mapping[str, Any]) -> Lease:
    return Lease(owner, row["fencing_number"], row["granted_at"], row["expires_at"])


def _ahead(queue: Mapping[str, tuple[int, int]], owner: str, now: int) -> int:
    """Return how many have waited for longer; who does not wait comes last."""
    mine = queue[owner][0] if owner in queue else now
    return sum((since, other) < (mine, owner) for other, (since, _) in queue.items())


def _is_no_news(answer: asyncio.Future[Any]) -> None:
    """Whatever has failed is in the log, and is tried again."""
    if not answer.cancelled():
        answer.exception()
