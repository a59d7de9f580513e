"""The console script: every command by its name."""

from __future__ import annotations

import typer

from sessionguard.cli import import_openclaw, sessions, store
from sessionguard.cli.demo import demo
from sessionguard.cli.doctor import doctor
from sessionguard.cli.export_openclaw import export
from sessionguard.cli.plugins import plugins
from sessionguard.cli.proxy import proxy
from sessionguard.cli.run import run
from sessionguard.cli.watch import watch

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(demo)
app.command()(doctor)
app.command()(export)
app.command()(plugins)
app.command()(proxy)
app.command()(run)
app.command()(watch)
app.add_typer(import_openclaw.app, name="import")
app.add_typer(sessions.app, name="sessions")
app.add_typer(store.app, name="store")


@app.callback()
def sessionguard() -> None:
    """Same session key, one session id."""


def main() -> None:
    """Run the command the arguments name."""
    app(prog_name="sessionguard")
