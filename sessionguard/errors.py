"""Everything that can go wrong, and what the client or the operator is told about it.

A `Refusal` is an answer to one request: an HTTP status, a machine-readable code and a message that says what was
wrong and how to mend it. It never holds the raw session key. A `ConfigurationError` stops a start.
"""

from __future__ import annotations

from typing import ClassVar


class SessionGuardError(Exception):
    """Root of every error of this package."""


class ConfigurationError(SessionGuardError):
    """A setting, plugin or store that cannot work; raised when the guard starts."""


class ResolutionMissing(SessionGuardError, LookupError):
    """`get_resolution` was asked about a scope that no guard has resolved."""


class Refusal(SessionGuardError):
    """An answer that ends the request before the wrapped application sees it.

    `retry_after` is in seconds; `should_retry` becomes `x-should-retry`, which the openai clients honour.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    kind: ClassVar[str] = "invalid_request_error"
    param: ClassVar[str | None] = None
    retry_after: int | None = None
    should_retry: bool | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidSessionKey(Refusal):
    """The key is malformed, too long, or sent twice with different values."""

    status = 400
    code = "invalid_session_key"
    param = "session_key"


class ReservedSessionKey(Refusal):
    """The key lies in a namespace that only the gateway itself may use."""

    status = 400
    code = "reserved_session_key"
    param = "session_key"


class InvalidAgentId(Refusal):
    """The agent id does not follow the grammar: 1 to 64 of a-z, 0-9, `_` and `-`, a letter or digit first."""

    status = 400
    code = "invalid_agent_id"
    param = "agent_id"


class AgentMismatch(Refusal):
    """The agent named by the key is not the agent named beside it."""

    status = 400
    code = "agent_mismatch"
    param = "agent_id"


class SessionKeyRequired(Refusal):
    """The path answers only requests that name a conversation."""

    status = 400
    code = "session_key_required"
    param = "session_key"


class SessionForbidden(Refusal):
    """A principal or a capability check said no."""

    status = 403
    code = "session_forbidden"
    kind = "forbidden"


class PolicyFailed(Refusal):
    """A deciding hook raised or answered nonsense; `plugin` names it. Nothing was written."""

    status = 500
    code = "policy_failed"
    kind = "server_error"
    should_retry = False

    def __init__(self, message: str, plugin: str | None = None) -> None:
        super().__init__(message)
        self.plugin = plugin


class CorruptRecord(Refusal):
    """A stored row does not decode; it is reported and left as it is."""

    status = 500
    code = "session_record_corrupt"
    kind = "server_error"
    should_retry = False


class StoreUnavailable(Refusal):
    """The store gave no answer in time. No id was handed out."""

    status = 503
    code = "session_store_unavailable"
    kind = "server_error"
    retry_after = 1


class StoreRetired(Refusal):
    """The conversations were moved to another store; this one hands out no id any more.

    It is no `StoreUnavailable`, because to try again is no use, and because not even a guard that fails open may go on
    where its conversations are known to be elsewhere.
    """

    status = 503
    code = StoreUnavailable.code
    kind = "server_error"
    retry_after = 5

    def __init__(self, moved_to: str, *, finished: bool) -> None:
        what, cure = ("have moved", "point") if finished else ("are being moved", "when that is done, point")
        super().__init__(f"The conversations of this server {what} to {moved_to}; {cure} SESSIONGUARD_STORE there.")
        self.moved_to = moved_to


class UpstreamUnreachable(Refusal):
    """There was no connection to the upstream, or it broke before the head of the response."""

    status = 502
    code = "upstream_unreachable"
    kind = "server_error"


class UpstreamTimeout(Refusal):
    """The upstream took longer than it may, to accept the connection or to begin its response."""

    status = 504
    code = "upstream_timeout"
    kind = "server_error"
