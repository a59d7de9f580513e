"""Forks among the sessions of a store: two sessions at work under one key, and neither followed the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sessionguard.cli.gateway.history import History, Session

TOGETHER = 60_000
"""Sessions of one key that began within so many milliseconds and did not follow each other were begun by one race."""
FOLLOWING = frozenset({"reset", "rollover", "rewind", "switch", "recovery", "compaction"})
"""The gateway's reasons to begin a session in place of another one."""


class Fork(NamedTuple):
    """Two sessions of one key, the earlier one first."""

    earlier: Session
    later: Session


def find_forks(history: History) -> Iterator[Fork]:
    """Yield every session that was at work under its key beside an earlier one, with that one."""
    together = TOGETHER if history.has_lineage else 0
    ordered = sorted((each for each in history.sessions if each.key), key=lambda each: (str(each.key), each.began))
    for _, group in itertools.groupby(ordered, key=lambda each: each.key):
        of_key = list(group)
        by_id = {each.session_id: each for each in of_key}
        beside: list[Session] = []
        for later in of_key:
            beside = [each for each in beside if _are_beside(each, later, together)]
            other = next((each for each in beside if not _are_related(each, later, by_id)), None)
            if other is not None:
                yield Fork(other, later)
            beside.append(later)


def find_unattributed(sessions: Iterable[Session]) -> Iterator[Fork]:
    """Yield every session of no known key that began together with another one, as a possible fork."""
    ordered = sorted(sessions, key=lambda each: each.began)
    for before, session, after in zip([None, *ordered], ordered, [*ordered[1:], None], strict=False):
        if session.key is None:
            near = [each for each in (before, after) if each and abs(each.began - session.began) <= TOGETHER]
            if near:
                other = min(near, key=lambda each: (each.key is None, abs(each.began - session.began)))
                yield Fork(*sorted((session, other), key=lambda each: each.began))


def _are_beside(earlier: Session, later: Session, together: int) -> bool:
    both_current = earlier.is_current and later.is_current
    return both_current or later.began < max(earlier.ended, earlier.began + together)


def _are_related(earlier: Session, later: Session, by_id: Mapping[str, Session]) -> bool:
    if earlier.is_current and later.is_current:
        return False
    return _follows(later, earlier, by_id) or _follows(earlier, later, by_id)


def _follows(later: Session, earlier: Session, by_id: Mapping[str, Session]) -> bool:
    """Whether the lineage of `later` leads back to `earlier`."""
    if later.reason in FOLLOWING and not later.previous:
        return True
    seen: set[str] = set()
    waiting: Sequence[str] = _followed(later)
    while waiting:
        if earlier.session_id in waiting:
            return True
        seen.update(waiting)
        waiting = [each for id_ in waiting if id_ in by_id for each in _followed(by_id[id_]) if each not in seen]
    return False


def _followed(session: Session) -> Sequence[str]:
    # A fork that the gateway was asked for lives under a key of its own; under the same key, it is one like any other.
    return () if session.reason == "fork" else session.previous
