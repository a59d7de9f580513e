"""`sessionguard sessions show KEY`: one conversation, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sessionguard.cli.conversation import Conversation, printable
from sessionguard.cli.exits import Exit, explained
from sessionguard.cli.moments import moment, span
from sessionguard.cli.opening import Place, existing_place
from sessionguard.cli.options import Agent, AsJson, Namespace, Principal, StoreUrl
from sessionguard.cli.selection import Selection
from sessionguard.errors import ConfigurationError

Key = Annotated[
    str | None, typer.Argument(metavar="[KEY]", help="The session key, in any spelling.", show_default=False)
]
Hash = Annotated[
    str | None, typer.Option("--hash", help="Find it by the hash that logs show instead.", show_default=False)
]

_HASH = re.compile("[0-9a-f]{8}")


def show(
    key: Key = None,
    hash_: Hash = None,
    agent: Agent = None,
    principal: Principal = None,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Show a conversation, by its key or by the hash in the logs: its ids, its times, and whether it goes on.

    Whether it goes on is judged by SESSIONGUARD_RESET of this environment. Exits with 1 when there is none.
    """
    with explained():
        if (key is None) is (hash_ is None):
            raise ConfigurationError("name the conversation: give KEY, or --hash")
        if hash_ is not None and not _HASH.fullmatch(hash_):
            raise ConfigurationError(f"--hash: {hash_!r} is none; expected eight of 0-9 and a-f")
        found = asyncio.run(_show(store, namespace, key, hash_, agent, principal))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo("\n\n".join(map(_text, found)) or "There is no such conversation.")
    raise typer.Exit(Exit.OK if found else Exit.FINDING)


async def _show(
    url: str, namespace: str | None, key: str | None, hash_: str | None, agent: str | None, principal: str | None
) -> list[Mapping[str, Any]]:
    async with existing_place(url, namespace=namespace) as place:
        now = await place.store.ping()
        if key is not None:
            row_key = place.listed_row_key(key, agent, principal)
            record = await place.store.get(row_key)
            found = [] if record is None else [Conversation(row_key, record)]
        else:
            selection = Selection(place.settings.namespace, principal=principal)
            found = [each async for each in selection.of(place.store) if each.hash == hash_]
        return [_explained(each, place, now) for each in found]


def _explained(conversation: Conversation, place: Place, now: int) -> Mapping[str, Any]:
    record = conversation.record
    rule = place.settings.reset.rule_for(conversation.session_key)
    goes_on = rule.is_fresh(record, record.updated_at, now)
    return {**conversation.facts(), "idle": max(now - record.updated_at, 0), "goes_on": goes_on}


def _text(facts: Mapping[str, Any]) -> str:
    fate = "goes on" if facts["goes_on"] else "the next request begins it anew, by SESSIONGUARD_RESET"
    lines = {
        "key": facts["key"],
        "principal": facts["principal"],
        "hash": facts["hash"],
        "session id": facts["session_id"],
        "started": moment(facts["session_started_at"]),
        "last used": f"{moment(facts['updated_at'])}, {span(facts['idle'])} ago",
        "now": fate,
    }
    return "\n".join(f"{name:<11} {printable(value)}" for name, value in lines.items() if value is not None)
