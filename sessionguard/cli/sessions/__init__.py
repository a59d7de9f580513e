"""`sessionguard sessions`: look at conversations and mend them, every command by its name."""

from __future__ import annotations

import typer

from sessionguard.cli.sessions.forgetting import forget
from sessionguard.cli.sessions.listing import list_
from sessionguard.cli.sessions.pruning import prune
from sessionguard.cli.sessions.resetting import reset
from sessionguard.cli.sessions.showing import show

app = typer.Typer(no_args_is_help=True, help="Look at conversations, give them a new id, remove them.")
app.command("list")(list_)
app.command()(show)
app.command()(reset)
app.command()(forget)
app.command()(prune)
