"""The way into a turn and out of it: through the turnstile of this process, then, where there are leases, to the lease.

Whoever is let in here leaves once, and whoever is not has left nothing behind; both hold at every await.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from dataclasses import dataclass
from time import monotonic

from sessionguard import Resolution
from sessionguard_turns.asking import Asking, age_of
from sessionguard_turns.busy import SessionBusy
from sessionguard_turns.first_turn import FirstTurn
from sessionguard_turns.lane import Holding, Place
from sessionguard_turns.leasehold import Leasehold
from sessionguard_turns.leasing import Leasing
from sessionguard_turns.readahead import ReadAhead
from sessionguard_turns.settings import Mode, TurnSettings
from sessionguard_turns.turn import TOKEN_HEADER, Turn
from sessionguard_turns.turnstile import Turnstile
from sessionguard_turns.waiting import complain_of, wait

LEAVING_SECONDS = 1.0
"""How long a turn that is over waits for its lease to be given back; a store that is away may take longer."""

ESTABLISHED_SECONDS = 30 * 86400.0
"""How long the store remembers that a conversation is established. Later a process that does not know lets one turn run
alone again."""

ABANDONED_SECONDS = 5.0
"""The least age at which a first turn whose client has left is handed on. The application may still be resolving the
session: OpenClaw 2026.5.20 writes the row of a new session up to 1.1 s after the request, on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """How a request was let in: its turn, if it needs one, and what it has to hand back when it leaves."""

    turn: Turn | None = None
    holding: Holding | None = None
    nested: bool = False


class Entrance:
    """Lets requests in; `leasing` is None where turns are kept within this process."""

    def __init__(self, settings: TurnSettings, leasing: Leasing | None) -> None:
        self._settings = settings
        self._leasing = leasing
        self.turnstile = Turnstile(queue_limit=settings.queue_limit, total_limit=settings.total_limit)
        self.established = self.turnstile.established

    def is_established(self, conversation: str) -> bool:
        """Return whether this process knows that a first turn of the conversation has ended well."""
        return conversation in self.established or self.established.find(conversation) is not None

    def first_turn(self, conversation: str, admitted: Admitted) -> FirstTurn | None:
        """Return the admitted turn as one that may establish the conversation; None if it needs none."""
        if admitted.holding is None or self.is_established(conversation):
            return None
        return FirstTurn(functools.partial(self.settle, conversation, admitted), self._settings.wait_timeout)

    async def admit(self, resolution: Resolution, mode: Mode, tokens: set[str], ahead: ReadAhead) -> Admitted:
        """Return how the request was let in; raises SessionBusy, ClientLeft, or StoreUnavailable."""
        conversation, since = resolution.session_id, monotonic()
        deadline = since + self._settings.wait_timeout
        if tokens and self._leasing is not None and not self.turnstile.is_inside(conversation, tokens):
            for token in tokens:
                # A call that the turn has made counts as a sign of its life.
                lease = await self._leasing.renew(self._leasing.name_of(conversation, mode), token)
                if lease is not None:
                    return Admitted(Turn(lease.fencing_number, token), nested=True)
        holding = await self._pass_turnstile(conversation, mode, tokens, ahead, deadline)
        if holding is None:
            return Admitted()
        if holding.turn.token in tokens:
            return Admitted(holding.turn, holding, nested=True)
        if self._leasing is None:
            return Admitted(holding.turn, holding)
        try:
            return await self._take_lease(self._leasing, conversation, mode, holding, ahead, since, deadline)
        except BaseException:
            self._abandon(conversation, holding)
            raise

    def settle(self, conversation: str, admitted: Admitted) -> None:
        """Remember that the conversation is established, and admit the requests of every process that wait for that."""
        holding = admitted.holding
        if holding is None:
            return
        self.turnstile.settle(conversation, holding)
        if holding.brief and holding.leasehold is not None:
            holding.leasehold.give_back(ESTABLISHED_SECONDS)

    async def leave(self, conversation: str, admitted: Admitted) -> None:
        """Hand everything back; the last request of a turn ends it, even if it is cancelled meanwhile."""
        holding = admitted.holding
        if holding is not None and self.turnstile.leave(conversation, holding):
            giving_back = self._end(conversation, holding)
            if giving_back is not None:
                await asyncio.wait([giving_back], timeout=LEAVING_SECONDS)

    def _abandon(self, conversation: str, holding: Holding) -> None:
        if self.turnstile.leave(conversation, holding):
            self._end(conversation, holding)

    def _end(self, conversation: str, holding: Holding) -> asyncio.Task[None] | None:
        """Hand the turn on, behind its lease if it has one; whoever is next here would only wait for that."""
        hand_on = functools.partial(self.turnstile.hand_on, conversation, holding)
        leasehold = holding.leasehold
        if leasehold is None:
            hand_on()
            return None
        heir = self.turnstile.heir(conversation, brief=holding.brief) if leasehold.was_granted else None
        giving_back = leasehold.give_back(heir=heir)
        seconds = LEAVING_SECONDS if leasehold.was_granted else 0
        late = asyncio.get_running_loop().call_later(seconds, hand_on)

        def hand_on_now(_: object) -> None:
            late.cancel()
            hand_on()
            if heir is not None and not self.turnstile.is_inside(conversation, {heir[0]}):
                leasehold.forget(heir[0])

        giving_back.add_done_callback(hand_on_now)
        return giving_back

    async def _pass_turnstile(
        self, conversation: str, mode: Mode, tokens: set[str], ahead: ReadAhead, deadline: float
    ) -> Holding | None:
        entered = self.turnstile.enter(conversation, mode, tokens)
        if not isinstance(entered, Place):
            return entered
        try:
            in_time = await wait(entered, ahead, deadline, functools.partial(self._complain, conversation, entered))
        except BaseException:
            self._give_up(conversation, mode, entered)
            raise
        if in_time:
            return entered.holding
        self._give_up(conversation, mode, entered)
        raise SessionBusy(_lost(mode, tokens), self.turnstile.retry_after(conversation))

    async def _take_lease(
        self,
        leasing: Leasing,
        conversation: str,
        mode: Mode,
        holding: Holding,
        ahead: ReadAhead,
        since: float,
        deadline: float,
    ) -> Admitted:
        """Ask until the lease is granted, or there is no need for one; raises SessionBusy when the time is over."""
        name = leasing.name_of(conversation, mode)
        leasehold = holding.leasehold = Leasehold(leasing, name, holding.turn.token)
        answer = await Asking(leasehold, mode, ahead, since, deadline).last_answer(conversation)
        if answer.granted and answer.lease is not None:
            holding.since = monotonic()
            holding.turn = dataclasses.replace(holding.turn, fencing_number=answer.lease.fencing_number)
            return Admitted(holding.turn, holding)
        if not answer.settled:
            raise SessionBusy(
                _lost(mode, ()), self.turnstile.lengths.retry_after(age_of(answer), max(answer.ahead - 1, 0))
            )
        self.turnstile.settle(conversation, holding)
        await self.leave(conversation, Admitted(None, holding))
        return Admitted()

    def _give_up(self, conversation: str, mode: Mode, place: Place) -> None:
        self.turnstile.give_up(conversation, place)
        if place.holding is not None and self._leasing is not None:
            # Whoever had the turn before has kept a place for this one where the lease is.
            self._leasing.forget(self._leasing.name_of(conversation, mode), place.token)

    def _complain(self, conversation: str, place: Place) -> None:
        position, held = self.turnstile.position(conversation, place)
        complain_of(conversation, position, monotonic() - place.since, held)


def _lost(mode: Mode, tokens: set[str] | tuple[()]) -> str:
    if mode is Mode.REJECT:
        return "This conversation has a turn under way; try again later."
    if mode is Mode.FIRST:
        return "The first turn of this conversation has not ended yet; try again later."
    if tokens:
        return (
            f"The header {TOKEN_HEADER} belongs to no turn under way in this conversation, and waiting for one took too"
            " long; if the turn that made this call is over, leave the header out."
        )
    return (
        "The turn under way in this conversation took too long; try again later. If that turn made this call, it must"
        f" send its header {TOKEN_HEADER} with it."
    )
