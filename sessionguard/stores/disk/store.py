"""The disk store: the verbs of the contract, each one function that runs on the store thread.

A function that writes runs inside a transaction that the thread has begun; it reads the row again before it decides.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from sessionguard.errors import ConfigurationError
from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import SessionStore, wall_clock
from sessionguard.stores.disk.opening import SYNCHRONOUS, default_directory, open_cache
from sessionguard.stores.disk.worker import THREADS, StoreThread

if TYPE_CHECKING:
    from sessionguard.settings import GuardSettings

PAGE = 500
SWEEP = 50

T = TypeVar("T")

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class DiskStore(SessionStore):
    """Rows in one directory, shared by the processes of one host. `retention` is in milliseconds."""

    coordination = "host"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        retention: int | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._directory = Path(directory).absolute()
        self._synchronous = SYNCHRONOUS[synchronous]
        self._retention = retention
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: StoreThread | None = None
        self._swept_to = 0

    @classmethod
    def from_url(cls, url: str, settings: GuardSettings) -> DiskStore:
        """Read `disk:`, `disk:///path` and the option `?synchronous=normal`."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        synchronous = options.pop("synchronous", "full")
        if parts.netloc or parts.fragment or options or synchronous not in SYNCHRONOUS:
            raise ConfigurationError(
                f"store: {url!r} is not understood; write disk:///absolute/path, with ?synchronous=normal to trade"
                " the last writes before a power cut for speed, or disk: for the default directory"
            )
        path = Path(unquote(parts.path)) if parts.path.strip("/") else default_directory(settings.namespace)
        if not path.is_absolute():
            raise ConfigurationError(f"store: {url!r} is a relative path; write disk:///absolute/path")
        retention = None if settings.retention is None else int(settings.retention * 1000)
        return cls(path, synchronous=synchronous, retention=retention)

    @property
    def location(self) -> str:
        return str(self._directory)

    def warnings(self) -> Sequence[str]:
        found = []
        if self._directory.is_relative_to(tempfile.gettempdir()) or self._directory.is_relative_to("/dev/shm"):  # noqa: S108 - looked for, not used
            found.append("the directory is a temporary one; conversations end when it is cleaned")
        places = (self._directory, *self._directory.parents[:-1])
        if _in_container() and not any(map(os.path.ismount, places)):
            found.append("this is a container; keep the directory on a volume, or conversations end with the container")
        return found

    async def get(self, key: str) -> SessionRecord | None:
        return await self._run(lambda cache: _row(cache, key), writes=False)

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        def reserve(cache: Any) -> Reservation:
            now = self._clock()
            row = _row(cache, key)
            if row is None or row.may_be_replaced(replacing):
                row = SessionRecord(candidate_id, now, now)
                cache.set(key, row)
                self._sweep(cache, now)
            return Reservation(row, row.session_id == candidate_id, now)

        return await self._run(reserve, writes=True)

    async def touch(self, updates: Sequence[Touch]) -> None:
        def touch(cache: Any) -> None:
            now = self._clock()
            for update in updates:
                row = _row(cache, update.key)
                if row is None or row.session_id != update.session_id:
                    continue
                if (touched := row.touched(now - update.age)) is not row:
                    cache.set(update.key, touched)

        await self._run(touch, writes=True)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        def forget(cache: Any) -> bool:
            row = _row(cache, key)
            return row is not None and row.may_be_forgotten(session_id, idle_before) and bool(cache.delete(key))

        return await self._run(forget, writes=True)

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        after: str | None = None
        while rows := await self._run(functools.partial(_page, prefix=prefix, after=after), writes=False):
            for pair in rows:
                yield pair
            after = rows[-1][0]

    async def ping(self) -> int:
        return await self._run(lambda cache: self._clock(), writes=False)

    async def aclose(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None or THREADS.release(self._directory) is None:
            return
        loop = asyncio.get_running_loop()
        stopped = loop.create_future()
        thread.stop(lambda: loop.call_soon_threadsafe(lambda: None if stopped.done() else stopped.set_result(None)))
        await stopped

    async def _run(self, work: Callable[[Any], T], *, writes: bool) -> T:
        with self._lock:
            if self._thread is None:
                self._thread = THREADS.acquire(self._directory, self._open)
            answer = self._thread.submit(work, writes=writes)
        return await answer

    def _open(self) -> Any:
        return open_cache(self._directory, self._synchronous)

    def _sweep(self, cache: Any, now: int) -> None:
        """Remove rows beyond their retention, looking at a few more of them with every new row."""
        if self._retention is None:
            return
        query = "SELECT rowid, key FROM Cache WHERE rowid > ? ORDER BY rowid LIMIT ?"
        found = cache._sql(query, (self._swept_to, SWEEP)).fetchall()
        self._swept_to = found[-1][0] if len(found) == SWEEP else 0
        for _, key in found:
            row = _row(cache, key)
            if row is not None and row.updated_at < now - self._retention:
                cache.delete(key)


def _in_container() -> bool:
    return any(map(os.path.exists, _CONTAINER_MARKS)) or "KUBERNETES_SERVICE_HOST" in os.environ


def _row(cache: Any, key: str) -> SessionRecord | None:
    row: SessionRecord | None = cache.get(key)
    return row


def _page(cache: Any, prefix: str, after: str | None) -> list[tuple[str, SessionRecord]]:
    query = "SELECT key, raw, mode, filename, value FROM Cache WHERE key >= ? AND key > ? ORDER BY key LIMIT ?"
    rows = cache._sql(query, (prefix, after or "", PAGE)).fetchall()
    disk = cache.disk
    pairs = [(disk.get(key, raw), disk.fetch(mode, name, value, False)) for key, raw, mode, name, value in rows]
    return [(key, record) for key, record in pairs if key.startswith(prefix)]
