"""A store of your own: one small JSON file per conversation, safe among the processes of one host. Run it:

    python examples/custom_store.py

What makes it a store is `reserve`: one step under one lock, which decides and writes. The suite that our own stores
pass checks it as well: see tests/examples/test_custom_store.py.
"""

import asyncio
import dataclasses
import fcntl
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from sessionguard import Reservation, SessionGuard, SessionRecord, SessionStore, Touch
from sessionguard.store import wall_clock
from sessionguard.testing import AppProbe, Exchange

T = TypeVar("T")


class JsonFilesStore(SessionStore):
    """A directory of JSON files named by the hash of their key; one advisory lock makes every verb one step."""

    coordination = "host"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def location(self) -> str:
        return str(self._directory)

    async def get(self, key: str) -> SessionRecord | None:
        return await self._locked(lambda: self._read(key))

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        def reserve() -> Reservation:
            now = wall_clock()
            row = self._read(key)
            if row is None or row.may_be_replaced(replacing):
                row = self._write(key, SessionRecord(candidate_id, now, now))
            return Reservation(row, row.session_id == candidate_id, now)

        return await self._locked(reserve)

    async def touch(self, updates: Sequence[Touch]) -> None:
        def touch() -> None:
            for update in updates:
                row = self._read(update.key)
                if row is not None and row.session_id == update.session_id:
                    self._write(update.key, row.touched(wall_clock() - update.age))

        await self._locked(touch)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        def forget() -> bool:
            row = self._read(key)
            if row is None or not row.may_be_forgotten(session_id, idle_before):
                return False
            self._file(key).unlink()
            return True

        return await self._locked(forget)

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        for key in await self._locked(lambda: sorted(key for key in self._keys() if key.startswith(prefix))):
            row = await self.get(key)
            if row is not None:
                yield key, row

    async def ping(self) -> int:
        return wall_clock()

    async def aclose(self) -> None:
        """Nothing is held between two verbs."""

    async def _locked(self, work: Callable[[], T]) -> T:
        def run() -> T:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            with (self._directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return work()

        return await asyncio.to_thread(run)

    def _file(self, key: str) -> Path:
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _keys(self) -> Iterator[str]:
        return (json.loads(file.read_text())["key"] for file in self._directory.glob("*.json"))

    def _read(self, key: str) -> SessionRecord | None:
        file = self._file(key)
        return SessionRecord(**json.loads(file.read_text())["row"]) if file.exists() else None

    def _write(self, key: str, row: SessionRecord) -> SessionRecord:
        draft = self._directory / "draft"
        draft.write_text(json.dumps({"key": key, "row": dataclasses.asdict(row)}))
        draft.replace(self._file(key))
        return row


async def main() -> None:
    with TemporaryDirectory() as directory:
        store = JsonFilesStore(Path(directory) / "sessions")
        guard = SessionGuard(AppProbe(), store=store)
        key = (b"x-openclaw-session-key", b"my-chat")
        exchanges = await asyncio.gather(*(Exchange(guard, [key]).run() for _ in range(5)))
        print("five requests at once:", sorted(each.headers["x-sessionguard-status"] for each in exchanges))
        async for row_key, row in store.scan():
            print("one row:", row_key, "->", row.session_id)


if __name__ == "__main__":
    asyncio.run(main())
