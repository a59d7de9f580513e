"""Reservations that begin together: one job, in which each has an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sessionguard.errors import SessionGuardError
from sessionguard.records import Reservation, SessionRecord
from sessionguard.store import Offer
from sessionguard.stores.embedded.jobs import Answer, Job
from sessionguard.stores.embedded.rows import Rows


class Offers(Job):
    """Looks for the rows first: those that stand are the answer, without a transaction; only the others wait for one.

    `sweep` is called for every row that is made, with the rows and the time.
    """

    __slots__ = ("_clock", "_open", "_outcomes", "_sweep")

    believes_absence = False

    def __init__(self, offers: Sequence[Offer], clock: Callable[[], int], sweep: Callable[[Rows, int], None]) -> None:
        super().__init__(writes=False)
        self._open = offers
        self._outcomes: Sequence[Reservation | Exception | None] = ()
        self._clock = clock
        self._sweep = sweep

    @property
    def is_wanted(self) -> bool:
        return any(offer.is_wanted for offer in self._open)

    @property
    def keys(self) -> Collection[str]:
        return [offer.key for offer in self._open]

    def run(self, rows: Rows) -> None:
        now = self._clock()
        self._outcomes = [self._outcome(offer, rows, now) for offer in self._open]

    def answers(self) -> Sequence[Answer]:
        outcomes = list(zip(self._open, self._outcomes, strict=True))
        self._open = [offer for offer, outcome in outcomes if outcome is None]
        self.writes = bool(self._open)
        return [(offer.settle, outcome) for offer, outcome in outcomes if outcome is not None]

    def failures(self, error: Exception) -> Sequence[Answer]:
        return [(offer.settle, error) for offer in self._open]

    def begin_anew(self) -> None:
        self.writes = False

    def _outcome(self, offer: Offer, rows: Rows, now: int) -> Reservation | Exception | None:
        try:
            rows.database.mark.refuse()
            row = rows.get(offer.key)
        except SessionGuardError as error:
            return error
        if row is None or row.may_be_replaced(offer.replacing):
            if not self.writes:
                return None
            row = SessionRecord(offer.candidate_id, now, now)
            rows.put(offer.key, row)
            self._sweep(rows, now)
        return Reservation(row, row.session_id == offer.candidate_id, now)
