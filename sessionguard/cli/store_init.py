"""`sessionguard store init`: make what a store needs before its first use, such as the tables of a database."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from sessionguard.errors import SessionGuardError, StoreUnavailable
from sessionguard.plugins import PluginRegistry
from sessionguard.settings import GuardSettings

Url = Annotated[str, typer.Option("--store", envvar="SESSIONGUARD_STORE", help="The URL of the store.")]


def init(url: Url = "disk:") -> None:
    """Make what the store needs: the tables of a database, or a directory. What is there already stays as it is.

    Exits with 1 when the store cannot be reached, or may not be made.
    """
    try:
        location = asyncio.run(_prepare(url))
    except SessionGuardError as error:
        cause = f" ({error.__cause__})" if isinstance(error, StoreUnavailable) and error.__cause__ else ""
        typer.echo(f"The store is not ready. {error}{cause}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"The store is ready: {location}")


async def _prepare(url: str) -> str:
    store = PluginRegistry((), ()).store(GuardSettings(store=url))
    try:
        await store.prepare()
        return store.location
    finally:
        await store.aclose()
