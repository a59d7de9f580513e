"""Durations as people write them: 90, 60m, 2h, 30d."""

from __future__ import annotations

import re

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)


def milliseconds(text: str) -> int:
    """Return the duration in `text`, in seconds where it names no unit; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return round(float(match[1]) * _UNITS[match[2] or "s"])
