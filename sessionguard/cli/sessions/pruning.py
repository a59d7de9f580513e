"""`sessionguard sessions prune --idle 30d`: remove the conversations nobody has used for long."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import Progress

from sessionguard.cli.batches import batches
from sessionguard.cli.conversation import Conversation
from sessionguard.cli.exits import explained
from sessionguard.cli.moments import moment
from sessionguard.cli.opening import existing_place
from sessionguard.cli.options import AsJson, Namespace, Prefix, Principal, StoreUrl, Yes
from sessionguard.cli.progress import progress
from sessionguard.cli.selection import Selection
from sessionguard.copying import patiently
from sessionguard.settings import IDLE
from sessionguard.store import SessionStore

Idle = Annotated[str, typer.Option(help="How long nobody has used them: 30d, 12h; at least 2h.", show_default=False)]
Limit = Annotated[int, typer.Option(min=0, help="How many to remove at most; 0 for all.")]


def prune(
    idle: Idle,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    prefix: Prefix = "",
    principal: Principal = None,
    limit: Limit = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove conversations that nobody has used for long; without --yes, count them.

    It may run while workers serve: whether a conversation is idle is looked at again in the step that removes it.
    """
    with explained():
        seconds = IDLE.parse(idle, "--idle")
        selection = Selection("", prefix, principal)
        report = asyncio.run(_prune(store, namespace, selection, int(seconds * 1000), limit, yes))
    typer.echo(json.dumps(dataclasses.asdict(report)) if as_json else report.as_text())


@dataclass
class PruneReport:
    """What was found and done; `idle_before` is in milliseconds since the epoch, by the clock of the store."""

    store: str
    idle_before: int
    dry_run: bool
    conversations: int = 0
    idle: int = 0
    removed: int = 0
    left: int = 0
    """Those that were idle when they were counted, and in use when they were to be removed."""

    def as_text(self) -> str:
        found = (
            f"{self.idle:,} of {self.conversations:,} conversations in {self.store} were last used before"
            f" {moment(self.idle_before)}."
        )
        if self.dry_run:
            return f"{found}\nNothing was removed; add --yes to remove them."
        used = f" {self.left:,} were used or removed meanwhile." if self.left else ""
        return f"{found}\n{self.removed:,} were removed.{used}"


async def _prune(url: str, namespace: str | None, wanted: Selection, idle: int, limit: int, yes: bool) -> PruneReport:
    async with existing_place(url, namespace=namespace) as place:
        before = await place.store.ping() - idle
        report = PruneReport(place.name, before, dry_run=not yes)
        pruning = Pruning(place.store, wanted.within(place.settings.namespace), report)
        with progress() as shown:
            await pruning.count(shown)
            if yes:
                await pruning.remove(shown, min(limit or report.idle, report.idle))
        return report


class Pruning:
    """Counts idle conversations, then removes them, some at a time."""

    def __init__(self, store: SessionStore, selection: Selection, report: PruneReport) -> None:
        self._store = store
        self._selection = selection
        self._report = report

    async def count(self, shown: Progress) -> None:
        task = shown.add_task("counting", total=None)
        async for batch in batches(self._selection.of(self._store)):
            self._report.conversations += len(batch)
            self._report.idle += sum(map(self._is_idle, batch))
            shown.update(task, completed=self._report.conversations)
        shown.remove_task(task)

    async def remove(self, shown: Progress, most: int) -> None:
        task = shown.add_task("removing", total=most)
        async for batch in batches(self._selection.of(self._store)):
            idle = [each for each in batch if self._is_idle(each)][: most - self._report.removed]
            removed = await asyncio.gather(*map(self._forget, idle))
            self._report.removed += sum(removed)
            self._report.left += len(removed) - sum(removed)
            shown.update(task, completed=self._report.removed)
            if self._report.removed >= most:
                break

    def _is_idle(self, conversation: Conversation) -> bool:
        return conversation.record.updated_at < self._report.idle_before

    async def _forget(self, conversation: Conversation) -> bool:
        key, session_id = conversation.row_key, conversation.record.session_id
        return await patiently(lambda: self._store.forget(key, session_id, self._report.idle_before))
