"""The contract every store keeps. `sessionguard.testing.SessionStoreContract` checks it; subclass that in your tests.

A store maps row keys (text, see `keys.row_key`) to `SessionRecord`s. It may be called from several event loops of one
process, and from many processes or hosts as far as its `coordination` reaches. Constructing a store does no I/O: it
opens at the first verb, and again at the first verb after `aclose`.

Every verb raises `StoreUnavailable` when the store gives no answer in time and `CorruptRecord` when a row does not
decode. A caller may be cancelled at any await; the verb then has either happened or not, never half.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import AsyncIterator, Sequence
from time import time_ns
from typing import ClassVar, Literal, Protocol

from sessionguard.records import Diagnosis, Reservation, Retirement, SessionRecord, Touch

Coordination = Literal["process", "host", "cluster"]
REACH: tuple[Coordination, ...] = ("process", "host", "cluster")


def wall_clock() -> int:
    """Return the time of this host in milliseconds since the epoch."""
    return time_ns() // 1_000_000


class Offer(Protocol):
    """A candidate for a conversation, and who wants to know what became of it; see `SessionStore.reserve`."""

    key: str
    candidate_id: str
    replacing: SessionRecord | None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for it; otherwise it need not be made."""

    def settle(self, outcome: Reservation | Exception) -> None:
        """Hear what stands now, or why nobody knows."""


class AwaitedOffer:
    """An offer that one caller awaits: the `future` is of the loop that runs."""

    def __init__(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> None:
        self.key = key
        self.candidate_id = candidate_id
        self.replacing = replacing
        self.future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()

    @property
    def is_wanted(self) -> bool:
        return not self.future.cancelled()

    def settle(self, outcome: Reservation | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Reservation):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


class SessionStore(abc.ABC):
    """Where conversations are kept."""

    coordination: ClassVar[Coordination]
    """How far the promise of `reserve` holds."""

    remembers: ClassVar[bool] = False
    """Whether `recall` knows what this process has seen, and `reserve` takes no lock for a row that stands.

    What such a store does not recall is new more often than not, so it is asked to reserve without a `get` before.
    """

    @property
    @abc.abstractmethod
    def location(self) -> str:
        """Where the rows are, for people: a path or a URL without its password."""

    def warnings(self) -> Sequence[str]:
        """What an operator should know about this place, without waiting for anything; logged once it has been used."""
        return ()

    def recall(self, key: str) -> SessionRecord | None:
        """Return the row if it is known, without waiting for anything, that it stands at this very moment.

        None says only that `get` has to be asked. A row that was touched since may be returned as it was before; one
        that was given another session, by whatever process, may not.
        """
        return None

    @abc.abstractmethod
    async def get(self, key: str) -> SessionRecord | None:
        """Return the row, None when there is none."""

    @abc.abstractmethod
    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        """Write a row for `candidate_id` unless the conversation has one; one atomic step.

        It writes when the key is free, or holds `candidate_id` already (a retry: the row is kept as it is), or holds
        the row the caller saw as stale: the id of `replacing` and an `updated_at` not later than its. Otherwise it
        writes nothing. Both times of a new row are the store's own clock. Returns the row that stands now, whether
        its id is `candidate_id`, and that clock.
        """

    def begin_reserve(self, offers: Sequence[Offer]) -> bool:
        """Begin what `reserve` does for all of these, if that costs less than each alone; False if it does not.

        Each of them is settled in the loop that runs, in bounded time, with its reservation or with whatever `reserve`
        raises; what one of them meets is nothing to the others.
        """
        return False

    @abc.abstractmethod
    async def touch(self, updates: Sequence[Touch]) -> None:
        """Move `updated_at` of each row that still holds the given id to `age` milliseconds ago, never backwards."""

    @abc.abstractmethod
    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        """Remove the row if it holds `session_id` and, given `idle_before`, was last used before it (milliseconds).

        Test and removal are one atomic step. Returns whether a row was removed.
        """

    @abc.abstractmethod
    def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        """Yield (row key, row) of every key that begins with the literal `prefix`, in key order.

        Rows are fetched page by page; nothing stays open between pages. Rows that change meanwhile may be missed.
        """

    @abc.abstractmethod
    async def ping(self) -> int:
        """Open the store if need be and return its clock.

        Raises ConfigurationError when it can never work as it is set up (a directory that is not ours, say).
        """

    async def prepare(self) -> None:
        """Make what the store needs and may not make by itself, such as the tables of a database.

        An operator asks for it once, with `sessionguard store init`. What is there already stays as it is.
        """
        await self.ping()

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back everything the store holds; calling it twice is harmless."""


class AdoptingStore(SessionStore):
    """A store that can also take over rows with their times, so that conversations can be moved to it."""

    @abc.abstractmethod
    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        """Write `record` as it is unless the conversation has another row; one atomic step.

        It writes when the key is free, or holds the row the caller saw: the id of `replacing` and an `updated_at` not
        later than its. A row with the id of `record` stays and takes the later `updated_at` of the two. Otherwise it
        writes nothing. No time is stamped. Returns the row that stands now.
        """


class RetirableStore(SessionStore):
    """A store that can also be left: once retired, every verb but `scan` raises StoreRetired, in every process.

    Retiring is one atomic step. What was written before it is seen by a `scan` that begins after it, and nothing is
    written or recalled after it.
    """

    @abc.abstractmethod
    async def retirement(self) -> Retirement | None:
        """Return whether the store is retired, and where its conversations went."""

    @abc.abstractmethod
    async def retire(self, moved_to: str, *, finished: bool = False) -> None:
        """Retire the store, or note that the move to the same place is finished; that is never taken back.

        Raises StoreRetired, and changes nothing, when the store was already retired in favour of another place.
        """

    @abc.abstractmethod
    async def revive(self) -> None:
        """Let the store serve again with the rows it has; harmless for one that is not retired."""


class DiagnosableStore(SessionStore):
    """A store that can say how its server is, for `sessionguard doctor`."""

    @abc.abstractmethod
    async def diagnose(self) -> Sequence[Diagnosis]:
        """Open the store if need be, and return what was found, good and bad; raises as `ping` does."""
