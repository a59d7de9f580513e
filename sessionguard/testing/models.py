"""What is true of a conversation, and of a row, when nobody hurries. The judge asks whether it stays true when all do.

A conversation is judged by its clients, who see ids; a row by the callers of its store, who see rows.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sessionguard.testing.history import Operation
from sessionguard.testing.linearizability import Violation, violations

UNSEEN = "?"
"""The id of a session somebody has opened whom nobody heard: the next one to name it knows it."""

LINGERING = 10_000_000_000
"""For how many nanoseconds an operation without an answer may still come to pass."""


class ConversationModel:
    """The id that stands, as clients see it. `idle` is the limit of the reset policy in nanoseconds.

    A session may end for want of use when nobody was told its id within half of that: signs of life are written at
    the latest when half of the limit is over. Internal handoffs are no signs of life.
    """

    def __init__(self, operations: Iterable[Operation], idle: int) -> None:
        self._idle = idle
        self._opened: set[str] = set()
        self._last_used: defaultdict[str, int] = defaultdict(int)
        for operation in operations:
            if operation.answer is None:
                continue
            session_id, origin = operation.answer
            if operation.verb != "hand_off":
                self._last_used[session_id] = max(self._last_used[session_id], operation.invoked)
            if origin == "new":
                self._opened.add(session_id)

    def begin(self) -> str | None:
        return None

    def steps(self, state: str | None, operation: Operation) -> Iterable[str | None]:
        if operation.answer is None:
            opens = operation.verb == "reset" or (operation.verb == "resolve" and self._may_end(state, operation))
            return [UNSEEN] if opens else []
        session_id, origin = operation.answer
        if operation.verb == "reset":
            return [session_id]
        if origin == "new":
            return [session_id] if self._may_end(state, operation) else []
        if origin == "ephemeral":
            return [state] if self._may_end(state, operation) else []
        found = state == session_id or (state == UNSEEN and session_id not in self._opened)
        return [session_id] if found else []

    def _may_end(self, state: str | None, operation: Operation) -> bool:
        if state is None:
            return True
        latest = operation.invoked + LINGERING if operation.returned is None else operation.returned
        return latest - self._last_used[state] >= self._idle // 2


class Row(NamedTuple):
    """A row as far as it is known: `started_at` is 0 when unknown, `updated_at` the latest time somebody saw."""

    session_id: str
    started_at: int
    updated_at: int


class RowModel:
    """One row, as the callers of a store see it: absent or a `Row`.

    From the first touch of its session on, `updated_at` may have moved on unseen; it never moves back.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._touched: dict[tuple[str, str], int] = {}
        for operation in operations:
            if operation.verb == "touch":
                self._touched.setdefault((operation.subject, operation.arguments[0]), operation.invoked)

    def begin(self) -> Row | None:
        return None

    def steps(self, state: Row | None, operation: Operation) -> Iterable[Row | None]:
        steps: Iterable[Row | None] = getattr(self, f"_{operation.verb}")(state, operation)
        return steps

    def _get(self, state: Row | None, get: Operation) -> Iterable[Row | None]:
        if get.returned is None:
            return [state]
        if state is None or get.answer is None:
            return [None] if state is None and get.answer is None else []
        return [Row(*get.answer)] if self._is(state, get.answer, get) else []

    def _recall(self, state: Row | None, recall: Operation) -> Iterable[Row | None]:
        if recall.answer is None:
            return [state]
        session_id, started_at = recall.answer
        stands = state is not None and state.session_id == session_id and state.started_at in (0, started_at)
        return [state] if stands else []

    def _reserve(self, state: Row | None, reserve: Operation) -> Iterable[Row | None]:
        candidate_id, replacing = reserve.arguments
        may_write = state is None or (state.session_id != candidate_id and _replaceable(state, replacing))
        if reserve.returned is None:
            return [Row(candidate_id, 0, 0)] if may_write else []
        seen, created = Row(*reserve.answer[0]), reserve.answer[1]
        if created is not (seen.session_id == candidate_id):
            return []
        may_keep = (
            state is not None and self._is(state, seen, reserve) and (created or not _replaceable(seen, replacing))
        )
        return [seen] if may_keep or (may_write and created) else []

    def _touch(self, state: Row | None, touch: Operation) -> Iterable[Row | None]:
        return [state]

    def _forget(self, state: Row | None, forget: Operation) -> Iterable[Row | None]:
        held = state is not None and state.session_id == forget.arguments[0]
        if forget.returned is None or forget.answer is held:
            return [None if held else state]
        return []

    def _is(self, state: Row, seen: Sequence[Any], operation: Operation) -> bool:
        session_id, started_at, updated_at = seen
        if session_id != state.session_id or state.started_at not in (0, started_at):
            return False
        first_touch = self._touched.get((operation.subject, session_id))
        touched = first_touch is not None and (operation.returned is None or first_touch <= operation.returned)
        may_be_later = touched or state.started_at == 0
        return updated_at == state.updated_at or (may_be_later and updated_at > state.updated_at)


def _replaceable(row: Row, replacing: Sequence[Any] | None) -> bool:
    return replacing is not None and row.session_id == replacing[0] and row.updated_at <= replacing[1]


def judge_conversations(operations: Sequence[Operation], idle: int) -> list[Violation]:
    """Return the answers of guards that no order explains; `idle` is their reset limit in nanoseconds.

    An operation that was given somebody else's session may have opened one before: its first attempt went through,
    the reply was lost, and by the second attempt another session stood. So its first attempt stays open.
    """
    first_attempts = [
        dataclasses.replace(operation, returned=None, answer=None)
        for operation in operations
        if operation.answer is not None and (operation.verb == "reset" or operation.answer[1] == "joined")
    ]
    return violations([*operations, *first_attempts], ConversationModel(operations, idle))


def judge_rows(operations: Sequence[Operation]) -> list[Violation]:
    """Return the answers of a store that no order explains."""
    return violations(operations, RowModel(operations))
