"""Moving the conversations of one store to another without stopping those who use it.

Rows are copied until there is next to nothing new. Then the source is retired in one step, after which nothing new can
come, and what came before it is copied too. The pass that changes nothing any more is the proof that all have arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from sessionguard.copying import Pass, StoreCopy, patiently
from sessionguard.errors import StoreRetired
from sessionguard.records import Retirement
from sessionguard.store import RetirableStore


@dataclass
class Move:
    """How far a move has come: `retirement` is that of the source, `last` the last pass, None where none was needed."""

    retirement: Retirement | None
    last: Pass | None


async def move(source: RetirableStore, copy: StoreCopy, moved_to: str, *, keep_newer: bool = False) -> Move:
    """Copy everything, retire `source` in favour of `moved_to`, copy what came in between, and say that it is done.

    Where the target has newer rows of other sessions, it stops short of the next step, unless it may `keep_newer`.
    An empty source is not retired: it is more likely to be the wrong one. Raises StoreRetired when the source was
    retired in favour of another place.
    """
    retirement = await source.retirement()
    if retirement is None:
        settled = await copy.settle()
        if not settled.rows or (settled.kept and not keep_newer):
            return Move(None, settled)
    elif retirement.moved_to != moved_to:
        raise StoreRetired(retirement.moved_to, finished=retirement.finished)
    elif retirement.finished:
        return Move(retirement, None)
    await patiently(lambda: source.retire(moved_to))
    completed = await copy.complete()
    if not completed.kept or keep_newer:
        await patiently(lambda: source.retire(moved_to, finished=True))
    return Move(await source.retirement(), completed)
