"""`sessionguard sessions forget KEY`: remove the row of a conversation."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Mapping
from typing import Any

import typer

from sessionguard.cli.conversation import Conversation
from sessionguard.cli.exits import Exit, explained
from sessionguard.cli.opening import existing_place
from sessionguard.cli.options import Agent, AsJson, Key, Namespace, Principal, StoreUrl, Yes


class Status(enum.Enum):
    """What became of it; the text is for scripts."""

    ABSENT = "absent"
    DRY_RUN = "dry run"
    FORGOTTEN = "forgotten"
    CHANGED = "changed"


VERDICTS = {
    Status.ABSENT: "There is no such conversation; nothing was done.",
    Status.DRY_RUN: "This is the conversation that would be forgotten. Nothing was done; add --yes to do it.",
    Status.FORGOTTEN: "This conversation was forgotten; the next request with its key begins another.",
    Status.CHANGED: "This conversation was given another session id meanwhile, and was left alone.",
}
FINDINGS = (Status.ABSENT, Status.CHANGED)


def forget(
    key: Key,
    agent: Agent = None,
    principal: Principal = None,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a conversation from the store. To begin it anew, `reset` is better: it leaves no gap.

    Exits with 1 when there is no such conversation.
    """
    with explained():
        status, facts = asyncio.run(_forget(store, namespace, (key, agent, principal), yes))
    if as_json:
        typer.echo(json.dumps({"status": status.value, **facts}))
    else:
        typer.echo("\n".join([VERDICTS[status], *(f"{name:<18} {value}" for name, value in facts.items())]))
    raise typer.Exit(Exit.FINDING if status in FINDINGS else Exit.OK)


async def _forget(
    url: str, namespace: str | None, named: tuple[str, str | None, str | None], yes: bool
) -> tuple[Status, Mapping[str, Any]]:
    async with existing_place(url, namespace=namespace) as place:
        row_key = place.listed_row_key(*named)
        record = await place.store.get(row_key)
        if record is None:
            return Status.ABSENT, {}
        facts = Conversation(row_key, record).facts()
        if not yes:
            return Status.DRY_RUN, facts
        gone = await place.store.forget(row_key, record.session_id)
        return Status.FORGOTTEN if gone else Status.CHANGED, facts
