"""One look at a store: how many conversations there are, which were used last, and what has happened since."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessionguard.cli.conversation import Conversation
from sessionguard.cli.selection import Selection
from sessionguard.store import SessionStore


@dataclass(frozen=True)
class Look:
    """What was seen at the time `at` of the store, in milliseconds; `begun` and `used` count since the look before.

    `answer_ms` is how long the store took to say its time, `seconds` how long the whole look took.
    """

    at: int
    conversations: int
    begun: int
    used: int
    newest: Sequence[Conversation]
    answer_ms: float
    seconds: float

    def facts(self) -> Mapping[str, Any]:
        newest = [conversation.facts() for conversation in self.newest]
        return {name: value for name, value in vars(self).items() if name != "newest"} | {"newest": newest}


async def look(store: SessionStore, selection: Selection, most: int, since: int | None) -> Look:
    """Walk over the conversations, holding the `most` that were used last; `since` is when the look before was."""
    started = time.perf_counter()
    at = await store.ping()
    answered = time.perf_counter()
    conversations = begun = used = 0
    newest: list[tuple[int, str, Conversation]] = []
    async for each in selection.of(store):
        conversations += 1
        begun += since is not None and each.record.session_started_at > since
        used += since is not None and each.record.updated_at > since
        item = each.record.updated_at, each.row_key, each
        if len(newest) < most:
            heapq.heappush(newest, item)
        else:
            heapq.heappushpop(newest, item)
    ordered = [conversation for _, _, conversation in sorted(newest, reverse=True)]
    took = time.perf_counter() - started
    return Look(at, conversations, begun, used, ordered, (answered - started) * 1000, took)
