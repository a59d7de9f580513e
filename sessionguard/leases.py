"""Leases: one owner of a name at a time, for as long as it renews; first come, first served.

They are bookkeeping beside the conversations and say nothing about them. What one lease may do is decided here, by
`LeaseRow`, for every store that can keep such a row; all times are milliseconds, by the store's clock.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionguard.ear import Listening

TICKET = 2_000
"""For how many milliseconds somebody who waits keeps the place in the queue without asking again."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of `owner` from `granted_at` to `expires_at`. `fencing_number` exceeds that of every lease before it.

    `holder` is the process that was given it, where the store can prove the end of a process, else empty.
    """

    owner: str
    fencing_number: int
    granted_at: int
    expires_at: int
    holder: str = dataclasses.field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The place in the queue of somebody who has waited since `since`; worth nothing from `lapses_at` on."""

    owner: str
    since: int
    lapses_at: int

    @property
    def rank(self) -> tuple[int, str]:
        return self.since, self.owner


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What stands after `acquire`.

    `granted` is whether the lease is the caller's. `ahead` is how many are before the caller, the owner among them.
    `settled` is whether the name was settled: then there is nothing to wait for, and no lease was given.
    """

    granted: bool
    lease: Lease | None
    ahead: int
    settled: bool
    now: int


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Everything that is known of one name."""

    lease: Lease | None = None
    settled_until: int = 0
    queue: tuple[Ticket, ...] = ()

    def at(self, now: int) -> LeaseRow:
        """Return the row without what is over."""
        lease = self.lease if self.lease is not None and self.lease.expires_at > now else None
        return dataclasses.replace(self, lease=lease, queue=tuple(each for each in self.queue if each.lapses_at > now))

    @property
    def ends_at(self) -> int:
        """From when on the row says nothing any more."""
        expires_at = 0 if self.lease is None else self.lease.expires_at
        return max(expires_at, self.settled_until, *(each.lapses_at for each in self.queue))

    def acquire(
        self, owner: str, duration: int, waited: int | None, now: int, next_number: Callable[[], int]
    ) -> tuple[LeaseRow, LeaseAnswer]:
        """Return the row after `acquire`, and its answer; a new lease is numbered by `next_number`."""
        row = self.at(now)
        if row.lease is not None and row.lease.owner == owner:
            return _granted(row, dataclasses.replace(row.lease, expires_at=now + duration), now)
        if row.settled_until > now:
            return row, LeaseAnswer(False, row.lease, 0, settled=True, now=now)
        mine = _ticket(row, owner, waited, now)
        ahead = sum(each.rank < mine.rank for each in row.queue if each.owner != owner) + (row.lease is not None)
        if not ahead:
            return _granted(row, Lease(owner, next_number(), now, now + duration), now)
        others = tuple(each for each in row.queue if each.owner != owner)
        if waited is not None:
            row = dataclasses.replace(row, queue=tuple(sorted([*others, mine], key=lambda each: each.rank)))
        return row, LeaseAnswer(False, row.lease, ahead, settled=False, now=now)

    def renew(self, owner: str, duration: int, now: int) -> tuple[LeaseRow, Lease | None]:
        """Return the row after `renew`, and the lease if it is still the owner's."""
        if self.lease is None or self.lease.owner != owner:
            return self.at(now), None
        lease = dataclasses.replace(self.lease, expires_at=now + duration)
        return dataclasses.replace(self.at(now), lease=lease), lease

    def release(self, owner: str, settled_for: int, now: int) -> tuple[LeaseRow, bool]:
        """Return the row after `release`, and whether the owner had the lease."""
        row = self.at(now)
        held = row.lease is not None and row.lease.owner == owner
        settled_until = max(row.settled_until, now + settled_for) if held and settled_for else row.settled_until
        queue = tuple(each for each in row.queue if each.owner != owner)
        return LeaseRow(None if held else row.lease, settled_until, queue), held


class LeaseSupport(abc.ABC):
    """What a store can also do. Every verb is one atomic step and raises StoreUnavailable like the others.

    Names have nothing to do with row keys. A name nobody has anything to do with any more takes no room.
    """

    @abc.abstractmethod
    async def acquire(self, name: str, owner: str, duration: int, *, waited: int | None = None) -> LeaseAnswer:
        """Give the name to `owner` for `duration` if nobody has it and nobody who waits has waited longer.

        An owner that has the lease already is given it again with the same fencing number, until `duration` from now:
        asking twice is harmless. With `waited`, how long the caller has been waiting, a caller that must wait is put
        into the queue, in the order of arrival; it stays there for `TICKET` and has to ask again before that.
        """

    @abc.abstractmethod
    async def renew(self, name: str, owner: str, duration: int) -> Lease | None:
        """Let the lease of `owner` last until `duration` from now; returns None if it is not the owner's any more.

        One that has run out is renewed as long as nobody else was given it and it was not swept away.
        """

    @abc.abstractmethod
    async def release(self, name: str, owner: str, *, settled_for: int = 0) -> bool:
        """Give back the lease of `owner`, or its place in the queue; returns whether it had the lease.

        With `settled_for` the name counts as settled for so long: nobody is given it, and nobody has to wait.
        """

    def expect_leases(self) -> None:  # noqa: B027 - most stores lack nothing
        """Hear, before it is used, that leases will be; a store that may lack something for them fails its start."""

    def listen(self, owner: str) -> Listening | None:
        """Return how `owner`, who waits, hears that it is worth asking again: the name is free for it, or settled.

        None is for a store that says nothing aloud. What is heard is no promise, and what is not heard may have
        happened all the same, so whoever listens still asks now and then.
        """
        return None


def _ticket(row: LeaseRow, owner: str, waited: int | None, now: int) -> Ticket:
    known = [each.since for each in row.queue if each.owner == owner]
    return Ticket(owner, min([now - (waited or 0), *known]), now + TICKET)


def _granted(row: LeaseRow, lease: Lease, now: int) -> tuple[LeaseRow, LeaseAnswer]:
    queue = tuple(each for each in row.queue if each.owner != lease.owner)
    return dataclasses.replace(row, lease=lease, queue=queue), LeaseAnswer(True, lease, 0, settled=False, now=now)
