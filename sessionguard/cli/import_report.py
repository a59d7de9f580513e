"""What an import has done, for people and for scripts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sessionguard.cli.adoption import Adopted
from sessionguard.cli.exits import Exit
from sessionguard.copying import Outcome

SHOWN = 10
EXPECTED = frozenset({"reserved_session_key", "no_session_id"})
"""Why entries are left out without anybody missing them: the gateway keeps its own runs to itself."""

WORDS = {
    Outcome.COPIED: "adopted",
    Outcome.REFRESHED: "used later than was known",
    Outcome.REPLACED: "put over older ones",
    Outcome.SAME: "known already",
    Outcome.KEPT: "in conflict",
}
REASONS = {
    "reserved_session_key": "belong to the gateway's own runs, whose keys no client may send",
    "no_session_id": "hold no session id",
    "invalid_session_key": "have a key the guard refuses; SESSIONGUARD_MAX_KEY_LENGTH may allow longer ones",
}


@dataclass
class ImportReport:
    """The end of an import into `store`, as shown to people; `left_out` counts by reason."""

    store: str
    dry_run: bool
    adopted: Adopted
    entries: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    """The first keys that a guard would refuse."""

    def leave_out(self, key: str, reason: str) -> None:
        self.left_out[reason] += 1
        if reason not in EXPECTED and len(self.refused) < SHOWN:
            self.refused.append(key)

    @property
    def code(self) -> Exit:
        return Exit.FINDING if self.adopted.conflicts or self.refused else Exit.OK

    def as_json(self) -> str:
        facts = {
            "store": self.store,
            "dry_run": self.dry_run,
            "entries": self.entries,
            **{words.replace(" ", "_"): self.adopted.counts[outcome] for outcome, words in WORDS.items()},
            "left_out": self.left_out,
            "refused": self.refused,
            "conflicts": [conflict._asdict() for conflict in self.adopted.conflicts],
        }
        return json.dumps(facts)

    def as_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = ", ".join(f"{self.adopted.counts[outcome]:,} {words}" for outcome, words in WORDS.items())
        yield f"{self.entries:,} entries for {self.store}: {counts}."
        for reason, count in self.left_out.items():
            yield f"{count:,} were left out: they {REASONS.get(reason, reason)}."
        yield from (f"  {key}" for key in self.refused)
        if self.adopted.conflicts:
            yield "These have another session id here, which stands:"
            yield from (f"  {key}: {stands} here, {offered} there" for key, stands, offered in self._shown)
            if more := self.adopted.counts[Outcome.KEPT] - len(self._shown):
                yield f"  and {more:,} more"
            yield "Let the ids used later stand with --take-newer, or settle each: sessionguard sessions forget KEY."
        if self.dry_run:
            yield "This was a dry run: nothing was written."

    @property
    def _shown(self) -> list[tuple[str, str, str]]:
        return [*self.adopted.conflicts[:SHOWN]]
