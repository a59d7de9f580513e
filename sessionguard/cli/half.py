"""One half of the demo: what was said, and what it left on disk."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sessionguard.cli.race import Reply

_SHARED = {"joined", "existing"}


@dataclasses.dataclass(frozen=True)
class Half:
    """The replies to one race for `key`, the transcripts by session id, and the store's rows as (key, session id)."""

    key: str
    replies: Sequence[Reply]
    transcripts: Mapping[str, Sequence[str]]
    rows: Sequence[tuple[str, str]] = ()

    @property
    def session_ids(self) -> set[str]:
        return {reply.session_id for reply in self.replies}

    @property
    def forked(self) -> bool:
        return len(self.session_ids) > 1

    @property
    def processes(self) -> set[int]:
        return {reply.process for reply in self.replies}

    @property
    def statuses(self) -> Counter[str | None]:
        return Counter(reply.status for reply in self.replies)

    @property
    def faults(self) -> list[str]:
        """What breaks the guard's promise, in words; nothing when it held."""
        return list(self._faults())

    def _faults(self) -> Iterator[str]:
        if self.forked:
            yield f"one key got {len(self.session_ids)} session ids"
        if self.statuses["new"] != 1 or self.statuses.keys() - _SHARED != {"new"}:
            yield f"not exactly one reply was new and the rest joined or existing: {dict(self.statuses)}"
        said = sorted(reply.message for reply in self.replies)
        if [sorted(messages) for messages in self.transcripts.values()] != [said]:
            sizes = [len(messages) for messages in self.transcripts.values()]
            yield f"{len(said)} messages were sent, but the transcripts hold {sizes}"
        if {(f"agent:main:{self.key}", session_id) for session_id in self.session_ids} != set(self.rows):
            yield f"the store holds {list(self.rows)} instead of the one row of agent:main:{self.key}"
