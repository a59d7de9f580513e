"""The conversations of a store, as far as one page can show them: a bounded look, newest first, no raw key."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from sessionguard import SessionRecord, SessionStore
from sessionguard.keys import fingerprint, split_row_key

MOST_SHOWN, MOST_READ = 50, 2000
LONGEST_LOOK = 1.0
"""In seconds."""


@dataclass(frozen=True)
class Conversation:
    """What the page says of one."""

    key_hash: str
    session_id: str
    began: datetime
    used: datetime

    @classmethod
    def of(cls, row_key: str, row: SessionRecord) -> Conversation:
        _, _, session_key = split_row_key(row_key)
        return cls(fingerprint(session_key), row.session_id, _time(row.session_started_at), _time(row.updated_at))


@dataclass(frozen=True)
class Glance:
    """The newest of those that were `read`; `is_all` is whether there are no others."""

    newest: Sequence[Conversation]
    read: int
    is_all: bool


async def glance(store: SessionStore, namespace: str) -> Glance:
    """Look at the rows of a namespace; raises StoreUnavailable when the store does not answer."""
    deadline = asyncio.get_running_loop().time() + LONGEST_LOOK
    rows: list[tuple[str, SessionRecord]] = []
    is_all = True
    scan = store.scan(f"{namespace}/")
    try:
        async for pair in scan:
            if len(rows) == MOST_READ or asyncio.get_running_loop().time() > deadline:
                is_all = False
                break
            rows.append(pair)
    finally:
        if isinstance(scan, AsyncGenerator):
            await scan.aclose()
    newest = heapq.nlargest(MOST_SHOWN, rows, key=lambda pair: pair[1].updated_at)
    return Glance([Conversation.of(*pair) for pair in newest], len(rows), is_all)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
