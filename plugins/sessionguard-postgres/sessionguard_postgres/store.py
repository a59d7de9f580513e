"""The verbs of the contract, each of them one statement in a transaction of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from sessionguard import (
    AdoptingStore,
    DiagnosableStore,
    Diagnosis,
    GuardSettings,
    Reservation,
    SessionRecord,
    StoreUnavailable,
    Touch,
    Verdict,
)
from sessionguard_postgres import statements, url
from sessionguard_postgres.connector import Connector
from sessionguard_postgres.faults import translated
from sessionguard_postgres.leases import PostgresLeases
from sessionguard_postgres.pool import ConnectionPool
from sessionguard_postgres.pools import LoopPools
from sessionguard_postgres.rows import decoded, encoded, fields_of, record_of
from sessionguard_postgres.sweeper import Sweeper

if TYPE_CHECKING:
    from typing_extensions import Self

    from sessionguard.ear import Listening

PAGE = 500


class PostgresStore(AdoptingStore, DiagnosableStore, PostgresLeases):
    """Rows, and leases, in tables of a Postgres server, shared by all hosts that reach it.

    `retention` is in milliseconds. Raises ConfigurationError for a URL that is not understood.
    """

    coordination = "cluster"

    def __init__(self, text: str, *, retention: int | None = None) -> None:
        place = url.parse(text)
        self._connector = connector = Connector(place)
        self.durability = place.synchronous_commit
        self._has_pooler = place.pooler
        self._sweeper = Sweeper(retention)

        def open_pool(when_closed: Callable[[], object]) -> ConnectionPool:
            return ConnectionPool(connector.connect, place.pool_size, place.location, when_closed)

        self._pools = LoopPools(open_pool)
        super().__init__()

    @classmethod
    def from_url(cls, text: str, settings: GuardSettings) -> Self:
        """Read `postgresql://user:password@host:port/database?option=value`."""
        return cls(text, retention=None if settings.retention is None else int(settings.retention * 1000))

    @property
    def location(self) -> str:
        return self._connector.location

    def warnings(self) -> Sequence[str]:
        found = self._connector.diagnoses
        return tuple(each.says for each in found if each.verdict is not Verdict.GREEN)

    async def diagnose(self) -> Sequence[Diagnosis]:
        await self.ping()
        return self._connector.diagnoses

    async def prepare(self) -> None:
        try:
            await self._connector.prepare()
        except Exception as error:
            raise translated(error, self.location) from error

    def expect_leases(self) -> None:
        self._connector.needs_leases = True

    def listen(self, owner: str) -> Listening | None:
        # A pooler gives the connection on which we would listen to somebody else.
        return None if self._has_pooler else self.pool().ear.listen(owner)

    def pool(self) -> ConnectionPool:
        return self._pools.here()

    async def get(self, key: str) -> SessionRecord | None:
        row = await self._row(statements.GET, encoded(key))
        if row is None:
            return None
        if row["standby"]:
            raise StoreUnavailable(
                "The session store was asked at a standby, which may not know the latest; try again."
            )
        return record_of(row)

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        arguments = encoded(key), candidate_id, *_observed(replacing), self.durability
        row = await self._row(statements.RESERVE, *arguments)
        record = record_of(row)
        created = record.session_id == candidate_id
        if created and self._sweeper.sweeps:
            self._sweeper.sweep(self.pool().submit)
        return Reservation(record, created, row["now"])

    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        arguments = encoded(key), *fields_of(record), *_observed(replacing), self.durability
        return record_of(await self._row(statements.ADOPT, *arguments))

    async def touch(self, updates: Sequence[Touch]) -> None:
        if not updates:
            return
        oldest_first = sorted(updates, key=lambda update: update.age, reverse=True)
        ages = {(encoded(update.key), update.session_id): update.age for update in oldest_first}
        keys, session_ids = zip(*ages, strict=True)
        await self._row(statements.TOUCH, keys, session_ids, [*ages.values()])

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        arguments = encoded(key), session_id, idle_before
        # Sent twice, it could say that there was nothing to remove.
        return await self._row(statements.FORGET, *arguments, repeatable=False) is not None

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        first, after = encoded(prefix), b""
        while rows := await self._page(first, after):
            for row in rows:
                if not row["key"].startswith(first):
                    return
                yield decoded(row["key"]), record_of(row)
            after = rows[-1]["key"]

    async def ping(self) -> int:
        return int((await self._row(statements.NOW))["now"])

    async def aclose(self) -> None:
        await self._pools.aclose()

    async def _row(self, statement: str, *arguments: object, repeatable: bool = True) -> Any:
        return await self.pool().submit(
            lambda connection: connection.fetchrow(statement, *arguments), repeatable=repeatable
        )

    async def _page(self, first: bytes, after: bytes) -> Any:
        return await self.pool().submit(lambda connection: connection.fetch(statements.PAGE, first, after, PAGE))


def _observed(replacing: SessionRecord | None) -> tuple[str | None, int | None]:
    return (None, None) if replacing is None else (replacing.session_id, replacing.updated_at)
