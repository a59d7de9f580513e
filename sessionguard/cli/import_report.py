"""The result of an import, for people and for scripts."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sessionguard.cli.adoption import Adopted, Conflict
from sessionguard.cli.exits import Exit
from sessionguard.cli.gateway.errors import Locked, Unreadable
from sessionguard.cli.gateway.file import GatewayFile
from sessionguard.cli.gateway.home import AgentStore
from sessionguard.copying import Outcome

SHOWN = 10
LONGEST_KEY = 120
EXPECTED = frozenset({"reserved_session_key", "no_session_id", "invalid_entry"})
"""Reasons to leave out entries that no client can miss: the gateway keeps its own runs to itself."""

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
    "invalid_entry": "are not valid to the gateway either",
    "invalid_session_key": "have a key that the guard refuses; clients that use one get 400 with the same reason",
}
BEGUN_HERE = (
    "conversations have another session id here than in the gateway. It gives out ids of its own and ignores the one"
    " that the guard sends, so this is expected of conversations that began, or were reset, behind the guard: both find"
    " them by their key. The ids here stand, and nothing needs to be done; --take-newer takes the gateway's ids where"
    " they were used later."
)
DUPLICATES = (
    "keys are in the gateway's store in two spellings with two ids, which is a fork. The id here stands; to choose the"
    " other: sessionguard sessions forget KEY, remove the entry that is not wanted in the gateway, and import again."
)


@dataclass
class AgentReport:
    """The import of the store of one agent; `left_out` counts by reason, `refused` has the first keys and reasons."""

    agent: str
    path: Path
    file: GatewayFile
    remark: str | None = None
    adopted: Adopted = field(default_factory=Adopted)
    entries: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, key: str, code: str, reason: str = "") -> None:
        self.left_out[code] += 1
        if code not in EXPECTED and len(self.refused) < SHOWN:
            self.refused.append((key, reason))

    def facts(self) -> Mapping[str, Any]:
        facts = {"agent": self.agent, "path": str(self.path), "kind": self.file.kind, "remark": self.remark}
        return {**facts, "entries": self.entries, **_counts(self.adopted.counts), "left_out": self.left_out}

    def line(self) -> str:
        counts = self.adopted.counts
        parts = [f"{self.entries:,} entries", *(f"{counts[each]:,} {WORDS[each]}" for each in WORDS if counts[each])]
        source = [str(self.path), self.file.kind, *([self.remark] if self.remark else [])]
        return f"  {self.agent}: {', '.join(parts)} ({'; '.join(source)})"


@dataclass
class ImportReport:
    """The end of an import into `store`, agent by agent; `skipped` and `failures` name directories and reasons."""

    store: str
    dry_run: bool
    agents: list[AgentReport] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    failures: list[tuple[AgentStore, Unreadable | Locked]] = field(default_factory=list)
    duplicates: list[Conflict] = field(default_factory=list)
    """The conflicts of which both ids come from the gateway."""

    def add_failure(self, store: AgentStore, error: Unreadable | Locked) -> None:
        self.failures.append((store, error))

    def find_duplicates(self) -> None:
        """Read the ids of the gateway once more, to tell its own conflicts from those of the guard."""
        standing = {conflict.stands for conflict in self._conflicts()}
        if standing:
            ids = {id_ for agent in self.agents for id_ in _session_ids(agent.file) if id_ in standing}
            self.duplicates = [conflict for conflict in self._conflicts() if conflict.stands in ids]

    @property
    def code(self) -> Exit:
        if any(isinstance(error, Locked) for _, error in self.failures):
            return Exit.LATER
        is_finding = self.failures or self._counts()[Outcome.KEPT] or any(agent.refused for agent in self.agents)
        return Exit.FINDING if is_finding else Exit.OK

    def as_json(self) -> str:
        facts = {
            "store": self.store,
            "dry_run": self.dry_run,
            "entries": self._entries,
            **_counts(self._counts()),
            "begun_here": self._begun_here,
            "left_out": self._left_out(),
            "refused": [{"key": key, "reason": reason} for agent in self.agents for key, reason in agent.refused],
            "conflicts": [conflict._asdict() for conflict in self._conflicts()],
            "agents": [agent.facts() for agent in self.agents],
            "failed": [{"path": str(store.path), "reason": str(error)} for store, error in self.failures],
            "skipped": [{"path": str(path), "reason": reason} for path, reason in self.skipped],
        }
        return json.dumps(facts)

    def as_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = ", ".join(f"{self._counts()[outcome]:,} {words}" for outcome, words in WORDS.items())
        yield f"{self._entries:,} entries for {self.store}: {counts}."
        yield from (agent.line() for agent in self.agents)
        yield from (f"  {store.agent}: failed: {error}" for store, error in self.failures)
        yield from (f"  {path} was skipped: {reason}" for path, reason in self.skipped)
        for code, count in self._left_out().items():
            yield f"{count:,} were left out: they {REASONS.get(code, code)}."
        refused = [each for agent in self.agents for each in agent.refused]
        yield from (f"  {_shown(key)}: {reason}" for key, reason in refused[:SHOWN])
        if self._begun_here:
            yield f"{self._begun_here:,} {BEGUN_HERE}"
        if self.duplicates:
            yield f"{len(self.duplicates):,} {DUPLICATES}"
            yield from (f"  {_shown(key)}: {stands} here, {offered} there" for key, stands, offered in self._shown)
            if more := len(self.duplicates) - len(self._shown):
                yield f"  and {more:,} more"
        if self.dry_run:
            yield "This was a dry run: nothing was written."

    @property
    def _shown(self) -> list[Conflict]:
        return self.duplicates[:SHOWN]

    @property
    def _entries(self) -> int:
        return sum(agent.entries for agent in self.agents)

    @property
    def _begun_here(self) -> int:
        return self._counts()[Outcome.KEPT] - len(self.duplicates)

    def _conflicts(self) -> Iterator[Conflict]:
        for agent in self.agents:
            yield from agent.adopted.conflicts

    def _counts(self) -> Counter[Outcome]:
        return sum((agent.adopted.counts for agent in self.agents), Counter())

    def _left_out(self) -> Counter[str]:
        return sum((agent.left_out for agent in self.agents), Counter())


def _counts(counts: Counter[Outcome]) -> Mapping[str, int]:
    return {words.replace(" ", "_"): counts[outcome] for outcome, words in WORDS.items()}


def _session_ids(file: GatewayFile) -> Iterator[object]:
    # A gateway that has begun to write since then is no reason to fail an import that has ended well.
    with contextlib.suppress(Unreadable, Locked):
        yield from (entry.get("sessionId") for _, entry in file.entries() if isinstance(entry, dict))


def _shown(key: str) -> str:
    """Return a key that a terminal can show, in one line of bounded length."""
    text = key if key.isprintable() else key.encode("unicode_escape").decode()
    return text if len(text) <= LONGEST_KEY else f"{text[:LONGEST_KEY]}... ({len(key):,} characters)"
