"""Sessions that a gateway has had, with the lineage that it has noted for them."""

from __future__ import annotations

from typing import NamedTuple

from sessionguard.errors import Refusal, ReservedSessionKey
from sessionguard.keys import canonical

OWN_RUN = ""
"""In place of the key of the gateway's own runs, which begin many sessions at once."""


class Session(NamedTuple):
    """A session with its times, in milliseconds since the epoch.

    `key` is the canonical session key, None where none is known. `previous` are the sessions that it followed under
    its key, `reason` is the gateway's word for that. `is_current` says that an entry of the gateway points to it.
    """

    key: str | None
    session_id: str
    began: int
    ended: int
    previous: tuple[str, ...] = ()
    reason: str | None = None
    is_current: bool = False


class History(NamedTuple):
    """The sessions of a store, and the reasons why some may be missing from them.

    Without `has_lineage` it is not known which session followed which.
    """

    sessions: list[Session]
    gaps: list[str]
    has_lineage: bool = True


def history_key(raw_key: str, agent: str | None) -> str:
    """Return the key that sessions are compared by, `OWN_RUN` for one that no client may use."""
    try:
        return canonical(raw_key, default_agent=agent or "main")
    except ReservedSessionKey:
        return OWN_RUN
    except Refusal:
        return raw_key
