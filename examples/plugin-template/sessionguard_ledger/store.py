"""The rows of all conversations in one JSON file, under one lock: for a few hundred of them, not for a million."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sessionguard import Reservation, SessionRecord, SessionStore, StoreUnavailable, Touch
from sessionguard.store import wall_clock

Rows = dict[str, SessionRecord]
T = TypeVar("T")


class LedgerStore(SessionStore):
    """Rows in `file`, shared by the processes of one host."""

    coordination = "host"

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def location(self) -> str:
        return str(self._file)

    async def get(self, key: str) -> SessionRecord | None:
        return await self._locked(lambda rows: rows.get(key))

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        def reserve(rows: Rows) -> Reservation:
            # Looking and writing are one step under the lock: this is what makes it a store.
            now = wall_clock()
            row = rows.get(key)
            if row is None or row.may_be_replaced(replacing):
                row = rows[key] = SessionRecord(candidate_id, now, now)
            return Reservation(row, row.session_id == candidate_id, now)

        return await self._locked(reserve)

    async def touch(self, updates: Sequence[Touch]) -> None:
        def touch(rows: Rows) -> None:
            for update in updates:
                row = rows.get(update.key)
                if row is not None and row.session_id == update.session_id:
                    rows[update.key] = row.touched(wall_clock() - update.age)

        await self._locked(touch)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        def forget(rows: Rows) -> bool:
            row = rows.get(key)
            if row is None or not row.may_be_forgotten(session_id, idle_before):
                return False
            del rows[key]
            return True

        return await self._locked(forget)

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        for key, row in await self._locked(lambda rows: sorted(rows.items())):
            if key.startswith(prefix):
                yield key, row

    async def ping(self) -> int:
        return wall_clock()

    async def aclose(self) -> None:
        """Nothing is held between two verbs."""

    async def _locked(self, work: Callable[[Rows], T]) -> T:
        """Run `work` on the rows, as the only one on this host, in a thread: a verb never blocks the event loop."""
        return await asyncio.to_thread(self._alone, work)

    def _alone(self, work: Callable[[Rows], T]) -> T:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                rows = self._read()
                before = dict(rows)
                answer = work(rows)
                if rows != before:
                    self._write(rows)
                return answer
        except OSError as error:
            raise StoreUnavailable(f"The ledger cannot be used: {error}") from error

    def _read(self) -> Rows:
        text = self._file.read_text() if self._file.exists() else "{}"
        return {key: SessionRecord(*row) for key, row in json.loads(text).items()}

    def _write(self, rows: Rows) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(
            json.dumps({key: [row.session_id, row.session_started_at, row.updated_at] for key, row in rows.items()})
        )
        draft.replace(self._file)
