"""A store that writes down what it is asked and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sessionguard.records import Reservation, SessionRecord, Touch
from sessionguard.store import SessionStore
from sessionguard.testing.history import Recorder


class RecordingStore(SessionStore):
    """`store`, with every call that reads or writes a row in `recorder`."""

    coordination = "process"

    def __init__(self, store: SessionStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    @property
    def location(self) -> str:
        return self._store.location

    def recall(self, key: str) -> SessionRecord | None:
        number = self._recorder.begin(key, "recall")
        record = self._store.recall(key)
        self._recorder.end(number, None if record is None else (record.session_id, record.session_started_at))
        return record

    async def get(self, key: str) -> SessionRecord | None:
        number = self._recorder.begin(key, "get")
        record = await self._store.get(key)
        self._recorder.end(number, _seen(record))
        return record

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        observed = None if replacing is None else (replacing.session_id, replacing.updated_at)
        number = self._recorder.begin(key, "reserve", candidate_id, observed)
        reservation = await self._store.reserve(key, candidate_id, replacing)
        self._recorder.end(number, [_seen(reservation.record), reservation.created])
        return reservation

    async def touch(self, updates: Sequence[Touch]) -> None:
        numbers = [self._recorder.begin(update.key, "touch", update.session_id) for update in updates]
        await self._store.touch(updates)
        for number in numbers:
            self._recorder.end(number, None)

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        if idle_before is not None:
            raise NotImplementedError("the judge knows no clock, so it cannot judge a limit of time")
        number = self._recorder.begin(key, "forget", session_id)
        removed = await self._store.forget(key, session_id)
        self._recorder.end(number, removed)
        return removed

    def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        return self._store.scan(prefix)

    async def ping(self) -> int:
        return await self._store.ping()

    async def aclose(self) -> None:
        await self._store.aclose()


def _seen(record: SessionRecord | None) -> tuple[str, int, int] | None:
    return None if record is None else (record.session_id, record.session_started_at, record.updated_at)
