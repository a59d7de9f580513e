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
    started, updated = _time(entry.get("sessionStartedAt")), _time(entry.get("updatedAt"))
    last = next((at for at in (updated, started) if at is not None), now)
    return SessionRecord(entry["sessionId"], last if started is None else started, last)


def entry_of(record: SessionRecord) -> Mapping[str, Any]:
    """Return the entry of a row."""
    return {
        "sessionId": record.session_id,
        "updatedAt": record.updated_at,
        "sessionStartedAt": record.session_started_at,
    }


def _time(value: object) -> int | None:
    """Return a time as the gateway would take it: numbers that are negative or not finite are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= LATEST else None
