"""Times and durations as people read them."""

from __future__ import annotations

import datetime

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"))


def moment(at: int) -> str:
    """Return the local time; `at` is in milliseconds since the epoch, and may lie beyond all calendars."""
    try:
        return datetime.datetime.fromtimestamp(at / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{at} ms"


def span(milliseconds: int) -> str:
    """Return a duration in its largest whole unit."""
    for size, unit in _UNITS:
        if milliseconds >= size:
            return f"{milliseconds // size}{unit}"
    return f"{max(milliseconds, 0) // 1000}s"
