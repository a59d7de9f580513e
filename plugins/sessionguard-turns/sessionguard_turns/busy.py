"""Busy, as the client is told it: 409, and when to come again."""

from __future__ import annotations

from sessionguard import Refusal


class SessionBusy(Refusal):
    """The conversation has a turn under way, or too many wait already; `retry_after` is in seconds."""

    status = 409
    code = "session_busy"
    kind = "conflict"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
