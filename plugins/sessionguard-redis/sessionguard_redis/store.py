"""The verbs of the contract, each one command on one key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from sessionguard import AdoptingStore, DiagnosableStore, Diagnosis, Reservation, SessionRecord, Touch
from sessionguard_redis import inspection, row
from sessionguard_redis.client import RedisClient
from sessionguard_redis.connecting import connection_to
from sessionguard_redis.failures import Failures
from sessionguard_redis.hearing import hear
from sessionguard_redis.lane import Lane, Reply
from sessionguard_redis.leases import MARK, RedisLeases
from sessionguard_redis.loops import LoopClients
from sessionguard_redis.redirection import Address
from sessionguard_redis.routes import Routes
from sessionguard_redis.script import ADOPT, FORGET, RESERVE, TOUCH, Script
from sessionguard_redis.url import RedisUrl, parse

if TYPE_CHECKING:
    from sessionguard import GuardSettings
    from sessionguard.ear import Listening, Tell

A = TypeVar("A")

PAGE = 500
SPECIAL = re.compile(rb"[*?\[\]\\]")


class RedisStore(AdoptingStore, DiagnosableStore, RedisLeases):
    """Rows as strings, and leases as hashes, of a Redis or Valkey server, shared by all hosts that reach it.

    `retention`, in milliseconds, is how long a row is kept unused; None keeps it for ever.
    """

    coordination = "cluster"

    def __init__(self, url: RedisUrl, *, retention: int | None = None) -> None:
        self._url = url
        self._prefix = url.prefix.encode()
        self.channel = self._prefix + b"leases"
        self._retention = retention or 0
        self._expires = self._retention > 0
        self._info: Mapping[str, str] = {}
        self._may_be_clustered = True
        self._failures = Failures(url.place)
        self._clients = LoopClients(lambda: Routes(self._client, self._hear))

    @classmethod
    def from_url(cls, url: str, settings: GuardSettings) -> RedisStore:
        """Read the URL; raises ConfigurationError. Nothing is connected."""
        return cls(parse(url), retention=None if settings.retention is None else int(settings.retention * 1000))

    @property
    def location(self) -> str:
        return self._url.place

    def warnings(self) -> Sequence[str]:
        return tuple(inspection.warnings(self._info, expires=self._expires)) if self._info else ()

    async def diagnose(self) -> Sequence[Diagnosis]:
        await self.ping()
        return tuple(inspection.diagnoses(self._info, expires=self._expires))

    async def get(self, key: str) -> SessionRecord | None:
        routes = self._clients.current()
        get = routes.get if self._may_be_clustered else routes.get_here
        try:
            value = await get(self._prefix + key.encode())
        except Exception as error:
            raise self._failures.translated(error) from error
        return None if value is None else row.decode(value)

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        text, now = await self._run(RESERVE, key, candidate_id, *_stale(replacing), self._retention)
        record = row.decode(text)
        return Reservation(record, record.session_id == candidate_id, now)

    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        return row.decode(await self._run(ADOPT, key, row.encode(record), *_stale(replacing), self._retention))

    async def touch(self, updates: Sequence[Touch]) -> None:
        touches = (self._run(TOUCH, each.key, each.session_id, each.age, self._retention) for each in updates)
        outcomes = await asyncio.gather(*touches, return_exceptions=True)
        for error in (outcome for outcome in outcomes if isinstance(outcome, BaseException)):
            raise error

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        limit = "" if idle_before is None else idle_before
        return bool(await self._run(FORGET, key, session_id, limit))

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        """Collect the names of all keys first, since Redis knows no order; then read the rows page by page."""
        names = sorted(await self._answer(self._names(self._name(prefix))))
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            values = await asyncio.gather(*(self._answer(self._clients.current().get(name)) for name in page))
            for name, value in zip(page, values, strict=True):
                if value is not None:
                    yield name[len(self._prefix) :].decode(), row.decode(value)

    async def run_for_lease(self, script: Script, name: bytes, *arguments: str | bytes | int) -> Reply:
        return await self._run_on(script, self._prefix + name, *arguments)

    def listen(self, owner: str) -> Listening:
        return self._clients.current().ear.listen(owner)

    async def ping(self) -> int:
        seconds, microseconds = await self._answer(self._clients.current().look(("TIME",)))
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def aclose(self) -> None:
        await self._clients.aclose()

    def _name(self, key: str) -> bytes:
        return self._prefix + key.encode()

    async def _names(self, prefix: bytes) -> set[bytes]:
        pattern = SPECIAL.sub(rb"\\\g<0>", prefix) + b"*"
        names: set[bytes] = set()
        await self.ping()  # From here on we know whether it is a cluster.
        for client in await self._clients.current().everywhere(clustered=self._may_be_clustered):
            cursor = None
            while cursor != b"0":
                cursor, found = await client.look(("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", PAGE))
                names.update(name for name in found if not name.startswith(self._prefix + MARK))
        return names

    async def _run(self, script: Script, key: str, *arguments: str | bytes | int) -> Reply:
        return await self._run_on(script, self._name(key), *arguments)

    async def _run_on(self, script: Script, name: bytes, *arguments: str | bytes | int) -> Reply:
        return await self._answer(self._clients.current().run(name, script.call(name, *arguments)))

    async def _answer(self, answer: Awaitable[A]) -> A:
        try:
            return await answer
        except Exception as error:
            raise self._failures.translated(error) from error

    def _client(self, address: Address | None) -> RedisClient:
        url = self._url
        lanes = [Lane(connection_to(url, address), self._inspect, url.timeout) for _ in range(url.connections)]
        return RedisClient(lanes)

    async def _hear(self, address: Address | None, tell: Tell) -> None:
        await hear(connection_to(self._url, address), self.channel, self._url.timeout, tell)

    def _inspect(self, info: Mapping[str, str]) -> None:
        inspection.check(info, expires=self._expires, may_evict=self._url.may_evict)
        self._info = info
        self._may_be_clustered = info.get("cluster_enabled", "0") != "0"
        self._failures.are_over()


def _stale(replacing: SessionRecord | None) -> tuple[str, int]:
    return (replacing.session_id, replacing.updated_at) if replacing else ("", 0)
