"""`sessionguard export PATH`: conversations in the form of a gateway's sessions.json."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated

import typer

from sessionguard.cli.exits import Exit, explained
from sessionguard.cli.gateway.entry import entry_of
from sessionguard.cli.opening import Place, existing_place, is_hashed
from sessionguard.cli.options import AsJson, Namespace, Prefix, Principal, StoreUrl
from sessionguard.cli.progress import progress
from sessionguard.cli.selection import Selection
from sessionguard.errors import ConfigurationError

STEP = 1000
USE = (
    "OpenClaw up to 2026.7 reads this as agents/<agent>/sessions/sessions.json, one file for each agent (--prefix"
    " agent:<agent>:), put there while it is stopped. Since 2026.8 its sessions are in a database that may not be"
    " edited behind it, so it takes nothing back from here: to it, a sessions.json is only an input of its migration."
)

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="The file to write, which must not exist; - for the standard output.")
]


@dataclass
class ExportReport:
    """How many conversations were written, and how many were not because they belong to principals."""

    store: str
    exported: int = 0
    of_principals: int = 0

    def as_text(self) -> str:
        left = f" {self.of_principals:,} belong to principals; export those of one with --principal."
        count = f"{self.exported:,} conversations in {self.store} were exported."
        return f"{count}{left if self.of_principals else ''}\n{USE}"


def export(
    path: PathArgument,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    prefix: Prefix = "",
    principal: Principal = None,
    as_json: AsJson = False,
) -> None:
    """Write conversations in the form of sessions.json, which OpenClaw reads up to 2026.7; the report goes to stderr.

    Since 2026.8, OpenClaw keeps its sessions in a database that may not be edited behind it, and takes nothing back.

    Exits with 1 when conversations were left out. A store that holds hashes instead of keys cannot be exported.
    """
    with explained():
        report = asyncio.run(_export(store, namespace, Selection("", prefix, principal), path))
    typer.echo(json.dumps(asdict(report)) if as_json else report.as_text(), err=True)
    raise typer.Exit(Exit.FINDING if report.of_principals else Exit.OK)


async def _export(url: str, namespace: str | None, wanted: Selection, path: str) -> ExportReport:
    async with existing_place(url, namespace=namespace) as place:
        selection = wanted.within(place.settings.namespace)
        with _writing(path) as file:
            return await _write(place, selection, file)


async def _write(place: Place, selection: Selection, file: IO[str]) -> ExportReport:
    report = ExportReport(place.name)
    with progress() as shown:
        task = shown.add_task("exporting", total=None)
        async for conversation in selection.of(place.store):
            if is_hashed(conversation.session_key):
                raise ConfigurationError(f"{place.name} holds hashes instead of keys, and nothing leads back to those")
            if conversation.principal != selection.principal:
                report.of_principals += 1
                continue
            entry = f"{json.dumps(conversation.session_key)}: {json.dumps(entry_of(conversation.record))}"
            file.write(f",\n{entry}" if report.exported else f"{{\n{entry}")
            report.exported += 1
            if report.exported % STEP == 0:
                shown.update(task, completed=report.exported)
    file.write("\n}\n" if report.exported else "{}\n")
    return report


@contextlib.contextmanager
def _writing(path: str) -> Iterator[IO[str]]:
    """Yield a file that is there as a whole when the block has ended well, and not at all otherwise."""
    if path == "-":
        yield sys.stdout
        return
    target = Path(path)
    try:
        number = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{target} exists; an export overwrites nothing, since a gateway's file holds more than ids"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(number)
    except BaseException:
        target.unlink()
        raise
