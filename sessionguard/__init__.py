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
    StoreRetired,
    StoreUnavailable,
)
from sessionguard.freshness import ResetPolicy, ResetRule
from sessionguard.hookspecs import hookimpl
from sessionguard.leases import Lease, LeaseAnswer, LeaseSupport
from sessionguard.middleware import SessionGuard, get_resolution
from sessionguard.records import (
    Diagnosis,
    ExplicitSession,
    Origin,
    Reservation,
    Resolution,
    Retirement,
    SessionRecord,
    Touch,
    Verdict,
)
from sessionguard.settings import GuardSettings
from sessionguard.store import AdoptingStore, DiagnosableStore, RetirableStore, SessionStore

__all__ = (
    "AdoptingStore",
    "AgentMismatch",
    "ConfigurationError",
    "CorruptRecord",
    "DiagnosableStore",
    "Diagnosis",
    "ExplicitSession",
    "GuardSettings",
    "InvalidAgentId",
    "InvalidSessionKey",
    "Lease",
    "LeaseAnswer",
    "LeaseSupport",
    "Origin",
    "PolicyFailed",
    "Refusal",
    "Reservation",
    "ReservedSessionKey",
    "ResetPolicy",
    "ResetRule",
    "Resolution",
    "ResolutionMissing",
    "RetirableStore",
    "Retirement",
    "SessionForbidden",
    "SessionGuard",
    "SessionGuardError",
    "SessionKeyRequired",
    "SessionRecord",
    "SessionStore",
    "StoreRetired",
    "StoreUnavailable",
    "Touch",
    "Verdict",
    "get_resolution",
    "hookimpl",
)
