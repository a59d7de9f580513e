"""`sessionguard doctor`: what is well, what is not, and how it is mended."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from sessionguard.cli.doctor.checkup import Checkup, check_all
from sessionguard.cli.exits import explained
from sessionguard.cli.options import AsJson, Namespace, StoreUrl

Front = Annotated[
    str | None, typer.Option("--url", help="Where clients ask: look at what arrives there.", show_default=False)
]
Transcripts = Annotated[
    Path | None, typer.Option(help="A gateway's home, or one of its stores: look for forks.", show_default=False)
]
Strict = Annotated[bool, typer.Option("--strict", help="Yellow is a finding, too.")]


def doctor(
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    url: Front = None,
    transcripts: Transcripts = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Look at the store, the plugins, the clock and the disk, and let processes race on the store for two seconds.

    Nothing is left behind in the store. Exits with 1 when something is red, and 75 when the store does not answer.
    """
    with explained():
        checkup = asyncio.run(check_all(store, namespace, url, transcripts))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in checkup.found]))
    else:
        _print(checkup)
    raise typer.Exit(checkup.code(strict=strict))


def _print(checkup: Checkup) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for each in checkup.found:
        console.print(Text(f"{each.verdict.value:<7}", style=each.verdict.value), Text(f"{each.subject}: {each.says}"))
        if each.cure:
            console.print(Text(f"        cure: {each.cure}"))
