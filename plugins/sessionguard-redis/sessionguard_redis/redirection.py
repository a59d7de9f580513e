"""What a server of a cluster says about keys that are not with it."""

from __future__ import annotations

import re
from typing import NamedTuple

from redis.exceptions import AskError, ClusterCrossSlotError, MovedError, ResponseError, TryAgainError

Address = tuple[str, int]

_TEXT = re.compile(r"(MOVED|ASK) (\d+) (.*):(\d+)")
_SHARDED = re.compile("CROSSSLOT|TRYAGAIN|MOVED|ASK")


class Redirection(NamedTuple):
    """The slot lives at `address`, for good or, while it is being moved, for this once; an empty host is the same."""

    slot: int
    address: Address
    for_good: bool


def redirection(error: Exception) -> Redirection | None:
    """Return where the server points to, None for any other error."""
    if isinstance(error, AskError):
        return Redirection(error.slot_id, (error.host, error.port), isinstance(error, MovedError))
    # redis-py has classes for these errors; before they were everybody's, only its own cluster client met them.
    found = _TEXT.fullmatch(str(error)) if isinstance(error, ResponseError) else None
    if found is None:
        return None
    return Redirection(int(found[2]), (found[3], int(found[4])), found[1] == "MOVED")


def is_sharded(error: Exception) -> bool:
    """Return whether a command was refused because its keys are, or may be, with several servers."""
    return isinstance(error, (AskError, ClusterCrossSlotError, TryAgainError)) or bool(_SHARDED.match(str(error)))
