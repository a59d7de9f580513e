"""The clock of the store beside ours: rows are stamped by the one, and first judged by the other."""

from __future__ import annotations

from collections.abc import Iterator

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.records import Diagnosis
from sessionguard.store import SessionStore, wall_clock

SUBJECT = "clock"
NOTICED, FAR = 1_000, 60_000


async def check(store: SessionStore) -> list[Diagnosis]:
    """Ask the store for its time, and see how far ours is from it at most."""
    before = wall_clock()
    theirs = await store.ping()
    return list(judge(theirs, before, wall_clock()))


def judge(theirs: int, before: int, after: int) -> Iterator[Diagnosis]:
    """Judge a time that was told between two of ours; all are milliseconds since the epoch."""
    skew = max(before - theirs, theirs - after, 0)
    direction = "ahead of" if theirs > after else "behind"
    says = f"the store's is {skew / 1000:.1f} s {direction} ours"
    if skew <= NOTICED:
        yield green(SUBJECT, "the store's and ours agree to the second")
    elif skew <= FAR:
        yield yellow(SUBJECT, says, "let both hosts follow NTP; limits of SESSIONGUARD_RESET are off by as much")
    else:
        yield red(SUBJECT, says, "let both hosts follow NTP; conversations may end too late, and listings mislead")
