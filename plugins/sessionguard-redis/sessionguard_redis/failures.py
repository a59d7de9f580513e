"""What went wrong between us and the server, in the words of the contract; the operator's log gets the details."""

from __future__ import annotations

import logging
import ssl

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from sessionguard import ConfigurationError, StoreUnavailable
from sessionguard_redis.lane import FAILURES
from sessionguard_redis.row import corrupt

NOT_OURS = ("CORRUPT", "WRONGTYPE")

log = logging.getLogger("sessionguard")


class Failures:
    """Turns them into errors of the contract. A reason is logged when it is news, and then no more until it is over."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._reported = ""

    def are_over(self) -> None:
        """The server serves: whatever happens next is news."""
        self._reported = ""

    def translated(self, error: Exception) -> Exception:
        """Return what a verb raises for this error."""
        if isinstance(error, (AuthenticationError, NoPermissionError)):
            return ConfigurationError(
                f"store: {self._place} refuses us: {error}. The user needs read and write access to the keys, and the"
                " commands that the README of sessionguard-redis names"
            )
        if isinstance(error, ResponseError) and any(code in str(error) for code in NOT_OURS):
            return corrupt()
        if isinstance(error, FAILURES):
            return self._unavailable(error)
        return error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        reason = f"{type(error).__name__}: {error}{_handshake(error)}"
        if reason != self._reported:
            self._reported = reason
            log.error("the session store %s does not serve: %s", self._place, reason)
        return StoreUnavailable("The session store does not answer; try again.")


def _handshake(error: BaseException) -> str:
    """Return what went wrong with TLS, which redis-py 5 keeps to itself; nothing if it was something else."""
    cause = error.__cause__ or error.__context__
    if cause is None:
        return ""
    return f" ({cause})" if isinstance(cause, ssl.SSLError) else _handshake(cause)
