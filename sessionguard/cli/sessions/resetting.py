"""`sessionguard sessions reset KEY`: the conversation begins anew under the same key."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import typer

from sessionguard import SessionGuard
from sessionguard.cli.exits import Exit, explained
from sessionguard.cli.opening import Place, existing_place, is_hashed
from sessionguard.cli.options import Agent, AsJson, Key, Namespace, Principal, StoreUrl
from sessionguard.errors import ConfigurationError


def reset(
    key: Key,
    agent: Agent = None,
    principal: Principal = None,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Give a conversation a new session id, from the next request on, in every worker.

    Exits with 1, and begins none, when there is no such conversation.
    """
    with explained():
        facts = asyncio.run(_reset(store, namespace, key, agent, principal))
    if as_json:
        typer.echo(json.dumps(facts))
    elif facts is None:
        typer.echo("There is no such conversation; nothing was done.")
    else:
        typer.echo("{key} had the session id {previous_session_id}, and has {session_id} now.".format(**facts))
    raise typer.Exit(Exit.OK if facts else Exit.FINDING)


async def _reset(
    url: str, namespace: str | None, key: str, agent: str | None, principal: str | None
) -> dict[str, Any] | None:
    if is_hashed(key):
        raise ConfigurationError("this store holds hashes instead of keys; to reset a conversation, give its key")
    async with existing_place(url, namespace=namespace) as place:
        before = await place.store.get(place.row_key(key, agent, principal))
        if before is None:
            return None
        # A guard like those that serve: the plugin that mints for them mints here.
        resolution = await _guard(place).reset(key, agent=agent, principal=principal)
        return {
            "key": resolution.session_key,
            "previous_session_id": before.session_id,
            "session_id": resolution.session_id,
        }


def _guard(place: Place) -> SessionGuard:
    return SessionGuard(_no_application, store=place.store, namespace=place.settings.namespace)


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    """Nobody asks it."""
