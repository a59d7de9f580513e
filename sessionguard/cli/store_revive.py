"""`sessionguard store revive STORE`: the way back from a move."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from sessionguard.cli.exits import explained
from sessionguard.cli.opening import named, open_store
from sessionguard.cli.options import AsJson
from sessionguard.errors import ConfigurationError
from sessionguard.records import Retirement
from sessionguard.store import RetirableStore

WARNING = (
    "{store} was retired in favour of {moved_to}. It comes back with the rows it had then; while workers use both, a"
    " conversation can have two ids.\nLet it serve again?"
)


def revive(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The URL of the store that was retired.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a store that was moved away from serve again, with the rows it had.

    For a move that is called off, or a new store that is lost. Workers that still point at STORE serve again at once.
    """
    with explained():
        name, revived = asyncio.run(_revive(store, yes))
    if as_json:
        typer.echo(json.dumps({"store": name, "revived": revived}))
    else:
        typer.echo(f"{name} serves again." if revived else f"{name} is not retired; nothing was done.")


async def _revive(url: str, yes: bool) -> tuple[str, bool]:
    """Return the name of the store, and whether it was retired."""
    store = open_store(url)
    name = named(url, store)
    if not isinstance(store, RetirableStore):
        raise ConfigurationError(f"{name} cannot be retired, so there is nothing to revive")
    try:
        retirement = await store.retirement()
        if retirement is not None:
            _confirm(name, retirement, yes)
            await store.revive()
        return name, retirement is not None
    finally:
        await store.aclose()


def _confirm(name: str, retirement: Retirement, yes: bool) -> None:
    if not yes:
        typer.confirm(WARNING.format(store=name, moved_to=retirement.moved_to), abort=True, err=True)
