"""`sessionguard demo`: a conversation that forks, and the same one behind SessionGuard, on real sockets."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import typer
from rich.console import Console

from sessionguard.cli import report
from sessionguard.cli.agent import DIRECTORY_VARIABLE, Agent
from sessionguard.cli.half import Half
from sessionguard.cli.interruption import exit_when_ended
from sessionguard.cli.race import race
from sessionguard.cli.server import ServerFailed, serving
from sessionguard.cli.walkthrough import steps
from sessionguard.keys import split_row_key
from sessionguard.settings import APP_VARIABLE
from sessionguard.stores.disk.store import DiskStore

AGENT = "sessionguard.cli.agent:app"
MESSAGES = 6
WORKERS = 3


def demo() -> None:
    """See a conversation fork, and see SessionGuard keep it whole.

    Exits with 1 when the guarded half does not hold, or when a server does not start or answer.
    """
    try:
        held = show(Console(highlight=False))
    except ServerFailed as error:
        typer.echo(f"The demo could not be run. {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(0 if held else 1)


def show(console: Console, store: str | None = None) -> bool:
    """Run both halves, print what they did, and return whether the guarded half held.

    The guarded half keeps its rows at the URL `store`; None is a disk store that goes when the demo ends.
    """
    key = f"final-{int(time.time())}"
    progress = console.status("The same messages to an agent alone, then behind SessionGuard ...")
    with exit_when_ended(), tempfile.TemporaryDirectory(prefix="sessionguard-demo-") as directory, progress:
        alone = run_alone(Path(directory, "alone"), key)
        guarded = run_guarded(Path(directory, "guarded"), key, store)
    report.print_comparison(console, alone, guarded)
    report.print_verdict(console, alone, guarded)
    if guarded.faults:
        return False
    report.print_steps(console, steps(key))
    return True


def run_alone(directory: Path, key: str) -> Half:
    """Race against the agent as it is, in one process."""
    env = {DIRECTORY_VARIABLE: str(directory)}
    with serving(directory, AGENT, "--workers", "1", env=env) as server:
        replies = race(server, key, processes=1, each=MESSAGES)
    return Half(key, replies, Agent(directory).transcripts())


def run_guarded(directory: Path, key: str, store: str | None = None) -> Half:
    """Race against the guarded agent in several processes; `store` as in `show`."""
    sessions = directory / "sessions"
    url = store or f"disk://{quote(str(sessions))}"
    env = {DIRECTORY_VARIABLE: str(directory), APP_VARIABLE: AGENT, "SESSIONGUARD_STORE": url}
    factory = ("--factory", "sessionguard.serving:create_app")
    with serving(directory, *factory, "--workers", str(WORKERS), env=env) as server:
        replies = race(server, key, processes=WORKERS, each=MESSAGES // WORKERS)
    return Half(key, replies, Agent(directory).transcripts(), asyncio.run(_rows(DiskStore(sessions))))


async def _rows(store: DiskStore) -> list[tuple[str, str]]:
    try:
        return [(split_row_key(key)[2], record.session_id) async for key, record in store.scan()]
    finally:
        await store.aclose()
