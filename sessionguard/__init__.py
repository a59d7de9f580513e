"""Same session key, one session id: `app = SessionGuard(app)`."""

from sessionguard.errors import (
    AgentMismatch,
    ConfigurationError,
    CorruptRecord,
    InvalidAgentId,
    InvalidSessionKey,
    PolicyFailed,
    Refusal,
    ReservedSessionKey,
    ResolutionMissing,
    SessionForbidden,
    SessionGuardError,
    SessionKeyRequired,
    StoreUnavailable,
)
from sessionguard.freshness import ResetPolicy, ResetRule
from sessionguard.hookspecs import hookimpl
from sessionguard.middleware import SessionGuard, get_resolution
from sessionguard.records import ExplicitSession, Origin, Reservation, Resolution, SessionRecord, Touch
from sessionguard.settings import GuardSettings
from sessionguard.store import SessionStore

__all__ = (
    "AgentMismatch",
    "ConfigurationError",
    "CorruptRecord",
    "ExplicitSession",
    "GuardSettings",
    "InvalidAgentId",
    "InvalidSessionKey",
    "Origin",
    "PolicyFailed",
    "Refusal",
    "Reservation",
    "ReservedSessionKey",
    "ResetPolicy",
    "ResetRule",
    "Resolution",
    "ResolutionMissing",
    "SessionForbidden",
    "SessionGuard",
    "SessionGuardError",
    "SessionKeyRequired",
    "SessionRecord",
    "SessionStore",
    "StoreUnavailable",
    "Touch",
    "get_resolution",
    "hookimpl",
)
