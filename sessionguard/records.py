"""The values that travel between the parts, all frozen. Times are integer milliseconds since the epoch."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass


class Origin(str, enum.Enum):
    """How a request came by its session id; the text is what `x-sessionguard-status` says."""

    NEW = "new"
    JOINED = "joined"
    EXISTING = "existing"
    EXPLICIT = "explicit"
    EPHEMERAL = "ephemeral"
    DEGRADED = "degraded"

    __hash__ = str.__hash__  # That of `enum.Enum` is Python code, and every answer looks something up by its origin.


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The stored row of one conversation."""

    session_id: str
    session_started_at: int
    updated_at: int

    def may_be_replaced(self, observed: SessionRecord | None) -> bool:
        """Whether this is still the stale row `observed`: same id, and nobody has used it since."""
        return (
            observed is not None and self.session_id == observed.session_id and self.updated_at <= observed.updated_at
        )

    def may_be_forgotten(self, session_id: str, idle_before: int | None) -> bool:
        """Whether this row holds `session_id` and, given `idle_before`, was last used before it."""
        return self.session_id == session_id and (idle_before is None or self.updated_at < idle_before)

    def adopted(self, standing: SessionRecord | None, observed: SessionRecord | None) -> SessionRecord:
        """Return what stands after this row was offered where `standing` stood and its bearer had seen `observed`."""
        if standing is None:
            return self
        if standing.session_id == self.session_id:
            return standing.touched(self.updated_at)
        return self if standing.may_be_replaced(observed) else standing

    def touched(self, at: int) -> SessionRecord:
        """Return the row as used `at`; time never runs backwards in a row."""
        return self if at <= self.updated_at else dataclasses.replace(self, updated_at=at)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What stands after `reserve`: the row, whether it holds the caller's candidate, and the store's clock."""

    record: SessionRecord
    created: bool
    now: int


@dataclass(frozen=True, slots=True)
class Retirement:
    """A store that was left for another one; `moved_to` names that for people, without a password.

    Until it is `finished`, rows may still be on their way.
    """

    moved_to: str
    finished: bool = False


class Verdict(str, enum.Enum):
    """How things are: well, in need of a look, or wrong."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found where somebody looked: the `subject`, a sentence about it, and how it is mended if it need be."""

    subject: str
    verdict: Verdict
    says: str
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class Touch:
    """A sign of life for one conversation: somebody used `session_id` `age` milliseconds ago.

    An age instead of a time, because only the store's clock may stamp a row.
    """

    key: str
    session_id: str
    age: int


@dataclass(frozen=True, slots=True)
class ExplicitSession:
    """An id chosen by trusted code in front of the guard: `scope["sessionguard.explicit"] = ExplicitSession(id)`.

    It is recognised by its type, so nothing that arrives over a wire can be one.
    """

    session_id: str


@dataclass(frozen=True, slots=True)
class ResolutionRequest:
    """What the policy made of a request; `row_key` is where the store keeps this conversation.

    Both keys are empty when an explicit id came without a session key.
    """

    session_key: str
    row_key: str
    explicit_session_id: str | None = None
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer, found by the application in `scope["sessionguard"]`.

    `session_key` is the canonical key, None when an explicit id came without one. `session_started_at` is None for
    ids that no row stands behind (`EXPLICIT`, `EPHEMERAL`, `DEGRADED`). `internal` is whether this is an internal
    handoff, which may read the conversation's row and leaves no trace in it.
    """

    session_key: str | None
    session_id: str
    origin: Origin
    session_started_at: int | None = None
    internal: bool = False
