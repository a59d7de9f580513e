"""A wire that fails at every message of the protocol, for new, stale and established keys: the one id, or 503 in time.

A fresh guard connects, reads and reserves, so the messages are those of the startup, of the look at the server, and of
preparing and executing each statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from lateness import LatenessClock
from postgres_server import PostgresServer
from sessionguard_postgres import PostgresStore

from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange, FaultyWire, WireFault

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.lowest]

Clock = Callable[[], float]

CLIENTS, AT_ONCE = 3, 15
STATES = ("new", "stale", "established")
ANSWERED_SECONDS = 2.5
DELAY_SECONDS = 3.0
FAULTS = {
    f"{what} {direction}{' from then on' if lasting else ''}": WireFault(
        what,  # type: ignore[arg-type]
        direction,  # type: ignore[arg-type]
        lasting=lasting,
        seconds=DELAY_SECONDS if what == "delay" else 0.0,
    )
    for what, direction, lasting in [
        *((what, side, False) for what in ("drop", "delay", "half-close", "reset") for side in ("request", "reply")),
        ("drop", "reply", True),
        ("reset", "request", True),
    ]
}
INSERT = """
insert into sessionguard_sessions
select $1, 'old', at, at from (select floor(extract(epoch from now()) * 1000)::bigint - $2 as at) as past
"""
STORED = "select key, session_id from sessionguard_sessions"
TEN_MINUTES = 600_000
STATEMENT = 2
"""How many messages one takes: it is prepared, and executed."""


class Conversation(NamedTuple):
    """A key in a state, with a wire and a guard of its own."""

    state: str
    step: int
    wire: FaultyWire
    guard: SessionGuard

    @property
    def key(self) -> str:
        return f"{self.state}-{self.step}"

    @property
    def row_key(self) -> bytes:
        return f"default//agent:main:{self.key}".encode()

    async def ask(self, clock: Clock = time.monotonic) -> tuple[int, str | None, float]:
        """The status, the id, and the seconds it took."""
        started = clock()
        exchange = await Exchange(self.guard, [(b"x-openclaw-session-key", self.key.encode())]).run()
        return exchange.status, exchange.headers.get("x-openclaw-session-id"), clock() - started


@pytest.fixture
def prepared(server: PostgresServer, database: str) -> str:
    """A database with our tables."""
    asyncio.run(PostgresStore(server.url(database)).prepare())
    return database


@contextlib.contextmanager
def conversation(server: PostgresServer, database: str, state: str, step: int) -> Iterator[Conversation]:
    with FaultyWire("127.0.0.1", server.port) as wire:
        url = server.url(database, port=wire.port)
        guard = SessionGuard(AppProbe(), store=url, reset="idle=5m", touch_interval=1, expose_session_id=True)
        conversation = Conversation(state, step, wire, guard)
        if state != "new":
            idle = TEN_MINUTES if state == "stale" else 0
            server.query(INSERT, conversation.row_key, idle, database=database)
        yield conversation


def messages_of(server: PostgresServer, database: str, state: str) -> int:
    """How many messages a guard exchanges with the server for its first request."""

    async def ask() -> tuple[int, int]:
        status, *_ = await calm.ask()
        count = calm.wire.count("reply")
        await leave(calm.guard)
        return status, count

    with conversation(server, database, state, 0) as calm:
        status, count = asyncio.run(ask())

    assert status == 200
    return count


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_failing_wire_gives_nobody_a_second_id(server: PostgresServer, prepared: str, fault: WireFault) -> None:
    """At whichever message it fails: answered in time, and one id for all who are given one, then and afterwards."""
    last = {state: messages_of(server, prepared, state) for state in STATES}
    # Up to the statement that reads the row, which is all that an established key needs, no state has messages of its
    # own: they fail once, for a new key.
    first = {state: 1 if state == "new" else last["established"] - STATEMENT + 1 for state in STATES}
    with contextlib.ExitStack() as stack:
        conversations = [
            stack.enter_context(conversation(server, prepared, state, step))
            for state in STATES
            for step in range(first[state], last[state] + 1)
        ]
        told = asyncio.run(_suffer(conversations, fault))

    for each, (during, after) in zip(conversations, told, strict=True):
        stored = dict(server.query(STORED, database=prepared)).get(each.row_key)
        where = (
            f"message {each.step} of a conversation that is {each.state}: {during}, then {after}; stored is {stored}"
        )
        assert {status for status, *_ in during} <= {200, 503}, where
        assert {status for status, *_ in after} == {200}, where
        assert max(seconds for *_, seconds in during + after) < ANSWERED_SECONDS, where
        assert {session_id for status, session_id, _ in during + after if status == 200} == {stored}, where
        assert (stored == "old") is (each.state == "established"), where


async def leave(guard: SessionGuard) -> None:
    """Shut the guard down as a server does: signs of life are written, the store is closed."""
    messages = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

    async def receive() -> dict[str, str]:
        return messages.pop()

    async def send(message: object) -> None:
        assert not messages or "complete" in str(message)

    await guard({"type": "lifespan"}, receive, send)


Told = list[tuple[int, "str | None", float]]


async def _suffer(conversations: list[Conversation], fault: WireFault) -> list[tuple[Told, Told]]:
    """What clients are told while the wires fail, and what one is told when they have been mended."""
    room = asyncio.Semaphore(AT_ONCE)
    async with LatenessClock() as clock:
        during = await asyncio.gather(*(_ask_through(each, fault, room, clock) for each in conversations))
        # One by one: many who connect at the same moment take each other's time.
        after = [[await _ask_and_leave(each, clock)] for each in conversations]
    return list(zip(during, after, strict=True))


async def _ask_through(
    conversation: Conversation, fault: WireFault, room: asyncio.Semaphore, clock: LatenessClock
) -> Told:
    async with room:
        conversation.wire.fail(dataclasses.replace(fault, at=conversation.step))
        told = await asyncio.gather(*(conversation.ask(clock) for _ in range(CLIENTS)))
        conversation.wire.heal()
    return told


async def _ask_and_leave(conversation: Conversation, clock: LatenessClock) -> tuple[int, str | None, float]:
    answer = await conversation.ask(clock)
    await leave(conversation.guard)
    return answer
