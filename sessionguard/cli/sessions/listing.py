"""`sessionguard sessions list`: conversations, one on a line."""

from __future__ import annotations

import asyncio
import heapq
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from sessionguard.cli.conversation import HEADING, Conversation
from sessionguard.cli.exits import explained
from sessionguard.cli.opening import existing_place
from sessionguard.cli.options import AsJson, Namespace, Prefix, Principal, StoreUrl
from sessionguard.cli.selection import Selection

Limit = Annotated[int, typer.Option(min=0, help="How many to show at most; 0 for all.")]
Newest = Annotated[bool, typer.Option("--newest", help="Those used last, the latest first, instead of by their keys.")]


def list_(
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    prefix: Prefix = "",
    principal: Principal = None,
    limit: Limit = 100,
    newest: Newest = False,
    as_json: AsJson = False,
) -> None:
    """List conversations: when they were used, their hash in the logs, their session id and key.

    With --json, every line is a JSON object. To find the newest of a large store, all of it is read.
    """
    with explained():
        more = asyncio.run(_list(store, namespace, Selection("", prefix, principal), limit, newest, as_json))
    if more:
        typer.echo(f"There are more than these {limit:,}; --limit 0 shows all.", err=True)


async def _list(url: str, namespace: str | None, wanted: Selection, limit: int, newest: bool, as_json: bool) -> bool:
    """Print the conversations; returns whether there are more."""
    async with existing_place(url, namespace=namespace) as place:
        found = wanted.within(place.settings.namespace).of(place.store)
        if newest:
            found = _newest_first(found, limit)
        if not as_json:
            typer.echo(HEADING)
        shown = 0
        async for conversation in found:
            if shown == limit > 0:
                return True
            shown += 1
            # Not `echo`, which would flush every line.
            sys.stdout.write(f"{json.dumps(conversation.facts()) if as_json else conversation.line()}\n")
        return False


async def _newest_first(conversations: AsyncIterator[Conversation], limit: int) -> AsyncIterator[Conversation]:
    """Yield those used last, one more than `limit`, or all where it is 0; no more than that are held."""
    kept: list[tuple[int, str, Conversation]] = []
    async for conversation in conversations:
        item = conversation.record.updated_at, conversation.row_key, conversation
        if not limit or len(kept) <= limit:
            heapq.heappush(kept, item)
        else:
            heapq.heappushpop(kept, item)
    for _, _, conversation in sorted(kept, reverse=True):
        yield conversation
