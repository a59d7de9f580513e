"""Serves an application with uvicorn, in one process or in several."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from sessionguard.cli.configuration import configure
from sessionguard.cli.exits import Exit, explained

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")]
Workers = Annotated[int, typer.Option(min=1, help="How many processes serve.")]
Reload = Annotated[bool, typer.Option("--reload", help="Start anew when a file changes; for development.")]
AppDirectory = Annotated[str, typer.Option(help="Where to import from.")]

STARTUP_FAILED = 3


@dataclass(frozen=True)
class Listening:
    """Where and how to serve."""

    host: str
    port: int
    workers: int = 1
    reload: bool = False
    directory: str = "."

    @property
    def is_single(self) -> bool:
        return self.workers == 1 and not self.reload


def host(
    title: str,
    factory: str,
    create: Callable[[], Any],
    given: Mapping[str, str],
    listening: Listening,
    **options: Any,
) -> None:
    """Serve what `create` returns, after a look at the whole configuration, which is printed once.

    `factory` names `create` for processes of their own; `options` are uvicorn's. What cannot work is a wrong call.
    """
    sys.path.insert(0, str(Path(listening.directory).resolve()))
    # Refuses a store that every worker would have to itself.
    implied = {"coordination": ("host", "--workers")} if listening.workers > 1 else {}
    with explained():
        configuration = configure(given, implied, os.environ)
        # Reloading is there to mend what cannot be imported yet.
        app: Any = None if listening.reload else create()
    typer.echo("\n".join([f"{title}, with:", *configuration.lines()]), err=True)
    try:
        uvicorn.run(
            app if listening.is_single else factory,
            factory=not listening.is_single,
            host=listening.host,
            port=listening.port,
            workers=listening.workers,
            reload=listening.reload,
            reload_dirs=[listening.directory] if listening.reload else None,
            **options,
        )
    except SystemExit as ended:
        raise typer.Exit(Exit.FINDING if ended.code == STARTUP_FAILED else int(ended.code or 0)) from ended
