"""One entry of a gateway's session file, and the row it is for a guard.

The gateway's entries have many fields; three of them are the conversation's identity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sessionguard.codec import is_session_id
from sessionguard.records import SessionRecord

LATEST = 2**53


def record_of(entry: Any, now: int) -> SessionRecord | None:
    """Return the row of an entry, None for one that holds no session id.

    As in the gateway, a missing start is the last use. Where both are missing the session was used at `now`, so that
    nothing ends it before its time. All times are milliseconds since the epoch.
    """
    if not isinstance(entry, Mapping) or not is_session_id(entry.get("sessionId")):
        return None
    started, updated = time_of(entry.get("sessionStartedAt")), time_of(entry.get("updatedAt"))
    last = next((at for at in (updated, started) if at is not None), now)
    return SessionRecord(entry["sessionId"], last if started is None else started, last)


def entry_of(record: SessionRecord) -> Mapping[str, Any]:
    """Return the entry of a row."""
    return {
        "sessionId": record.session_id,
        "updatedAt": record.updated_at,
        "sessionStartedAt": record.session_started_at,
    }


def time_of(value: object) -> int | None:
    """Return a time in milliseconds, None for a value that the gateway ignores: negative, not finite, or no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= LATEST else None
