"""Whether there is one order of the operations that explains every answer, and respects who came after whom.

The search is that of Wing and Gong, walked through in the order of the answers as Lowe describes it: a set of possible
worlds is kept, and each answer throws out those in which it could not have been given. Operations without an answer
stay open to the end: any world may let them happen, or not.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sessionguard.testing.history import Operation

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """What one subject is when nobody hurries."""

    def begin(self) -> S:
        """Return the state before the first operation."""

    def steps(self, state: S, operation: Operation) -> Iterable[S]:
        """Yield the states `operation` may leave behind, none if its answer cannot be given in `state`.

        Where it may leave the state as it is, that must be the whole answer.
        """


@dataclass(frozen=True)
class World(Generic[S]):
    """One possible past: the state it left, and which of the operations in progress have happened in it."""

    state: S
    happened: frozenset[int]


class Judge(Generic[S]):
    """Walks through the history of one subject."""

    def __init__(self, operations: Sequence[Operation], model: Model[S]) -> None:
        self._operations = operations
        self._model = model
        self._in_progress: dict[int, Operation] = {}
        self._worlds = {World(model.begin(), frozenset[int]())}

    def first_violation(self) -> Operation | None:
        """Return the first answer no order explains, None if there is an order that explains them all."""
        for number, returns in _events(self._operations):
            operation = self._operations[number]
            if not returns:
                self._in_progress[number] = operation
                continue
            self._worlds = set(self._worlds_with(number))
            if not self._worlds:
                return operation
            del self._in_progress[number]
            self._worlds = {World(world.state, world.happened - {number}) for world in self._worlds}
        return None

    def _worlds_with(self, number: int) -> Iterator[World[S]]:
        """Yield what the possible worlds can become so that operation `number` has happened."""
        seen: set[World[S]] = set()
        waiting = list(self._worlds)
        while waiting:
            world = self._with_what_changes_nothing(waiting.pop())
            if world in seen:
                continue
            seen.add(world)
            if number in world.happened:
                yield world
            else:
                waiting += self._successors(world)

    def _with_what_changes_nothing(self, world: World[S]) -> World[S]:
        """Let everything happen now that leaves the state as it is: it can only be in the way later."""
        state, steps = world.state, self._model.steps
        quiet = [
            number
            for number, operation in self._in_progress.items()
            if operation.returned is not None and number not in world.happened and state in steps(state, operation)
        ]
        return World(state, world.happened.union(quiet)) if quiet else world

    def _successors(self, world: World[S]) -> Iterator[World[S]]:
        tried: set[tuple[str, tuple[Any, ...]]] = set()
        for number, operation in self._in_progress.items():
            if number in world.happened:
                continue
            if operation.returned is None:
                # Of open operations that ask the same, the earliest stands for all: whoever could come to pass
                # instead can also come to pass after it.
                if (operation.verb, operation.arguments) in tried:
                    continue
                tried.add((operation.verb, operation.arguments))
            for state in self._model.steps(world.state, operation):
                if state != world.state:
                    yield World(state, world.happened | {number})


def _events(operations: Sequence[Operation]) -> Iterable[tuple[int, bool]]:
    """Return the numbers of the operations, once where they begin and once (True) where they are answered."""
    events = [(operation.invoked, False, number) for number, operation in enumerate(operations)]
    events += [
        (operation.returned, True, number)
        for number, operation in enumerate(operations)
        if operation.returned is not None
    ]
    return [(number, returns) for _, returns, number in sorted(events)]


@dataclass(frozen=True)
class Violation:
    """An answer no order explains, and everything that was asked about its subject before it was given."""

    operation: Operation
    history: Sequence[Operation]

    def __str__(self) -> str:
        start = self.history[0].invoked
        lines = [f"{self.operation.subject}: no order of these operations explains the last answer"]
        for operation in sorted(self.history, key=lambda each: each.returned or 2**63):
            until = "?" if operation.returned is None else f"{(operation.returned - start) / 1e6:.3f}"
            times = f"{(operation.invoked - start) / 1e6:.3f} to {until} ms"
            lines.append(f"  {times:>28}  {operation.verb} {operation.arguments or ''} -> {operation.answer}")
        return "\n".join(lines)


def violations(operations: Iterable[Operation], model: Model[S]) -> list[Violation]:
    """Judge every subject apart from the others; return the first violation of each that has one."""
    by_subject = sorted(operations, key=lambda operation: (operation.subject, operation.invoked))
    found = []
    for _, group in itertools.groupby(by_subject, key=lambda operation: operation.subject):
        history = list(group)
        violation = Judge(history, model).first_violation()
        if violation is not None and violation.returned is not None:
            asked = [operation for operation in history if operation.invoked < violation.returned]
            found.append(Violation(violation, asked))
    return found
