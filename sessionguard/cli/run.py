"""`sessionguard run IMPORT:app`: an application behind a guard, without touching it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from sessionguard.cli.guard_options import with_guard_options
from sessionguard.cli.hosting import AppDirectory, Host, Listening, Port, Reload, Workers, host
from sessionguard.serving import create_app
from sessionguard.settings import APP_VARIABLE

Target = Annotated[str, typer.Argument(metavar="IMPORT:APP", help="The application, as module:attribute.")]


@with_guard_options
def run(
    target: Target,
    *,
    host_: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    reload: Reload = False,
    app_dir: AppDirectory = ".",
    given: Mapping[str, str],
) -> None:
    """Serve an ASGI application behind SessionGuard.

    Every setting is an option, and a variable of the environment; an option wins. The effective configuration is
    printed once, with its sources. Exits with 2 when something in it cannot work.
    """
    os.environ[APP_VARIABLE] = target
    listening = Listening(host_, port, workers, reload, app_dir)
    host(f"Serving {target} behind SessionGuard", "sessionguard.serving:create_app", create_app, given, listening)
