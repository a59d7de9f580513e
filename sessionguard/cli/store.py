"""`sessionguard store`: what operators do to a store, every command by its name."""

from __future__ import annotations

import typer

from sessionguard.cli.store_copy import copy
from sessionguard.cli.store_init import init
from sessionguard.cli.store_revive import revive

app = typer.Typer(no_args_is_help=True, help="Prepare, move and bring back the place where conversations are kept.")
app.command()(init)
app.command()(copy)
app.command()(revive)
