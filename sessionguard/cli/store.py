"""`sessionguard store`: what operators do to a store, every command by its name."""

from __future__ import annotations

import typer

from sessionguard.cli.store_init import init

app = typer.Typer(no_args_is_help=True, help="Look after the place where conversations are kept.")
app.command()(init)
