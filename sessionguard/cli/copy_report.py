"""What `store copy` has done, for people and for scripts."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass

from sessionguard.cli.exits import Exit
from sessionguard.copying import Outcome, Pass, StoreCopy
from sessionguard.moving import Move

SHOWN_KEYS = 10


class Status(enum.Enum):
    """How a copy ended; the text is for scripts."""

    MOVED = "moved"
    MOVED_BEFORE = "moved before"
    COPIED = "copied"
    DRY_RUN = "dry run"
    EMPTY = "empty"
    CONFLICTS = "conflicts"


VERDICTS = {
    Status.MOVED: "The move is finished. Set SESSIONGUARD_STORE={target} and restart the workers;"
    " until then they answer 503.",
    Status.MOVED_BEFORE: "{source} has moved to {target} before; nothing was left to do.",
    Status.COPIED: "{source} was not retired: what is written there from now on is not in {target}.",
    Status.DRY_RUN: "This was a dry run: nothing was written.",
    Status.EMPTY: "{source} holds no conversations, so it was not retired. Is it the right one?",
    Status.CONFLICTS: "Some conversations were used more lately in {target}, under another id, and were left alone:"
    " {keys}. {source} {state}. If those ids are to stand, run the command again with --keep-newer.",
}
FINDINGS = (Status.EMPTY, Status.CONFLICTS)
WORDS = {Outcome.COPIED: "copied", Outcome.REFRESHED: "brought up to date", Outcome.REPLACED: "put over older ones"}


@dataclass(frozen=True)
class CopyReport:
    """The end of a copy from `source` to `target`, both as shown to people."""

    source: str
    target: str
    copy: StoreCopy
    move: Move
    status: Status

    @property
    def code(self) -> Exit:
        return Exit.FINDING if self.status in FINDINGS else Exit.OK

    def as_json(self) -> str:
        last, retirement = self._last, self.move.retirement
        facts = {
            "source": self.source,
            "target": self.target,
            "status": self.status.value,
            "rows": last.rows,
            "verified": last.counts[Outcome.SAME],
            **{outcome.value: self.copy.totals[outcome] for outcome in WORDS},
            "kept": last.kept,
            "retired": retirement is not None,
            "finished": retirement is not None and retirement.finished,
        }
        return json.dumps(facts)

    def as_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.move.last is not None:
            done = ", ".join(f"{self.copy.totals[outcome]:,} {word}" for outcome, word in WORDS.items())
            yield f"{self._last.rows:,} conversations in {self.source}: {done}."
            yield f"{self._last.counts[Outcome.SAME]:,} of them verified in {self.target}."
        yield VERDICTS[self.status].format(source=self.source, target=self.target, keys=self._keys, state=self._state)

    @property
    def _last(self) -> Pass:
        return self.move.last or Pass()

    @property
    def _keys(self) -> str:
        kept = self._last.kept
        more = f" and {len(kept) - SHOWN_KEYS:,} more" if len(kept) > SHOWN_KEYS else ""
        return ", ".join(kept[:SHOWN_KEYS]) + more

    @property
    def _state(self) -> str:
        return "is retired, but the move is not finished" if self.move.retirement else "was not retired"


def status_of(move: Move, *, dry: bool, keep_newer: bool) -> Status:
    """Judge a move, or a mere copy, whose `retirement` is None."""
    if move.last is None:
        return Status.MOVED_BEFORE
    if not move.last.rows:
        return Status.EMPTY
    if move.last.kept and not keep_newer:
        return Status.CONFLICTS
    if dry:
        return Status.DRY_RUN
    return Status.MOVED if move.retirement else Status.COPIED
