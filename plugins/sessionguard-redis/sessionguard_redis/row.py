"""A `SessionRecord` as the text of a Redis string and back: `1 ID STARTED UPDATED`, times in milliseconds.

Text, because the scripts compare its fields and operators read it in redis-cli. The 1 is the version of the format.
"""

from __future__ import annotations

import functools
import re

from sessionguard import CorruptRecord, SessionRecord

MOST_KEPT = 8192

_ROW = re.compile(rb"1 ([!-~]{1,256}) ([0-9]{1,15}) ([0-9]{1,15})")


def encode(record: SessionRecord) -> bytes:
    """Return the row's text; raises CorruptRecord for one that `decode` would not read."""
    text = f"1 {record.session_id} {record.session_started_at} {record.updated_at}".encode()
    if _ROW.fullmatch(text) is None:
        raise CorruptRecord(
            "This conversation does not fit into Redis: its id is not 1 to 256 visible ASCII characters, or one of its"
            " times is not between 1970 and the year 33658. Inspect the store it comes from."
        )
    return text


@functools.lru_cache(MOST_KEPT)
def decode(data: bytes) -> SessionRecord:
    """Return the row in `data`; raises CorruptRecord for anything the scripts do not write."""
    fields = _ROW.fullmatch(data)
    if fields is None:
        raise corrupt()
    session_id, started_at, updated_at = fields.groups()
    return SessionRecord(session_id.decode("ascii"), int(started_at), int(updated_at))


def corrupt() -> CorruptRecord:
    """Return the error for a key of ours that holds something else."""
    return CorruptRecord(
        "The stored row of this conversation does not decode; it was left untouched. Was it written by a newer release"
        " or by another application? Inspect the key in Redis before removing it."
    )
