"""`sessionguard store init`: make what a store needs before its first use, such as the tables of a database."""

from __future__ import annotations

import asyncio
import json

import typer

from sessionguard.cli.exits import explained
from sessionguard.cli.opening import open_store
from sessionguard.cli.options import AsJson, StoreUrl


def init(store: StoreUrl = "disk:", as_json: AsJson = False) -> None:
    """Make what the store needs: the tables of a database, or a directory. What is there already stays as it is.

    Exits with 2 when the store cannot be used as it is named, and 75 when it does not answer; try again then.
    """
    with explained():
        location = asyncio.run(_prepare(store))
    typer.echo(json.dumps({"ready": location}) if as_json else f"The store is ready: {location}")


async def _prepare(url: str) -> str:
    store = open_store(url)
    try:
        await store.prepare()
        return store.location
    finally:
        await store.aclose()
