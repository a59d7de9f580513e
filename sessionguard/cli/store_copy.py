"""`sessionguard store copy SOURCE TARGET`: move to another store while the workers go on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import Progress

from sessionguard.cli.copy_report import CopyReport, status_of
from sessionguard.cli.exits import explained
from sessionguard.cli.opening import named, open_store
from sessionguard.cli.progress import progress
from sessionguard.copying import StoreCopy
from sessionguard.errors import ConfigurationError, StoreRetired
from sessionguard.moving import Move, move
from sessionguard.store import AdoptingStore, RetirableStore, SessionStore


@dataclass(frozen=True)
class CopyOptions:
    """How to copy, as the command line says."""

    dry: bool
    retire: bool
    keep_newer: bool


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The URL of the store that is in use now.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL of the store to move to.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and write nothing.")] = False,
    no_retire: Annotated[bool, typer.Option("--no-retire", help="Only copy; leave the source in use.")] = False,
    keep_newer: Annotated[
        bool, typer.Option("--keep-newer", help="Go on where the target has a newer row under another id.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as one JSON object.")] = False,
) -> None:
    """Move all conversations to another store, without stopping the workers.

    At the end SOURCE is retired: workers that still use it answer 503 and name TARGET. Interrupted at any point, the
    same command finishes the move. Exits with 0 when all is well, 1 for a finding, 2 for a wrong call, and 75 when a
    store does not answer; try again then.
    """
    with explained():
        report = asyncio.run(_copy(source, target, CopyOptions(dry_run, not no_retire, keep_newer)))
    typer.echo(report.as_json() if as_json else report.as_text())
    raise typer.Exit(report.code)


async def _copy(source_url: str, target_url: str, options: CopyOptions) -> CopyReport:
    source, target = open_store(source_url), open_store(target_url)
    names = named(source_url, source), named(target_url, target)
    try:
        retirable, adopting = _checked(source, target, names, options)
        await _reach(target, names[1])
        with progress() as shown:
            copy = StoreCopy(source, adopting, dry=options.dry, watch=CopyProgress(shown))
            if retirable is None:
                moved = Move(None, await copy.settle())
            else:
                moved = await move(retirable, copy, names[1], keep_newer=options.keep_newer)
        status = status_of(moved, dry=options.dry, keep_newer=options.keep_newer)
        return CopyReport(*names, copy, moved, status)
    finally:
        await source.aclose()
        await target.aclose()


def _checked(
    source: SessionStore, target: SessionStore, names: tuple[str, str], options: CopyOptions
) -> tuple[RetirableStore | None, AdoptingStore]:
    """Return the source if it is to be retired, and the target; raises ConfigurationError if they cannot do it."""
    if names[0] == names[1]:
        raise ConfigurationError(f"source and target are both {names[0]}")
    if not isinstance(target, AdoptingStore):
        raise ConfigurationError(f"{names[1]} cannot take over conversations")
    if options.dry or not options.retire:
        return None, target
    if not isinstance(source, RetirableStore):
        raise ConfigurationError(
            f"{names[0]} cannot be retired, so its workers would go on handing out ids; stop them, and add --no-retire"
        )
    return source, target


async def _reach(target: SessionStore, name: str) -> None:
    """Open the target before anything is said or done; raises ConfigurationError for one that was moved away from."""
    try:
        await target.ping()
    except StoreRetired as error:
        raise ConfigurationError(
            f"{name} was itself moved to {error.moved_to}; name that, or bring this one back first:"
            f" sessionguard store revive {name}"
        ) from error


class CopyProgress:
    """A bar that is told how many rows each pass has looked at; how many there are is known from the pass before."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("pass 1", total=None)
        self._pass, self._rows = 1, 0

    def __call__(self, number: int, rows: int) -> None:
        if number != self._pass:
            self._progress.update(self._task, description=f"pass {number}", total=self._rows)
        self._pass, self._rows = number, rows
        self._progress.update(self._task, completed=rows)
