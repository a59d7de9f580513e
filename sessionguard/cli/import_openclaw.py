"""`sessionguard import openclaw PATH`: the guard takes over the ids that a running gateway has given out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskProgressColumn

from sessionguard.cli.adoption import Adoption, Offer
from sessionguard.cli.batches import batches
from sessionguard.cli.exits import explained
from sessionguard.cli.gateway.entry import record_of
from sessionguard.cli.gateway.file import GatewayFile, open_file
from sessionguard.cli.import_report import ImportReport
from sessionguard.cli.opening import Place, open_place
from sessionguard.cli.options import AsJson, Namespace, Principal, StoreUrl
from sessionguard.cli.progress import progress
from sessionguard.errors import ConfigurationError, Refusal
from sessionguard.store import AdoptingStore

PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="The gateway's sessions.json, or openclaw-agent.sqlite.")
]
Agent = Annotated[str | None, typer.Option(help="The agent of keys that name none.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be adopted, and write nothing.")]
TakeNewer = Annotated[
    bool, typer.Option("--take-newer", help="Where both know a conversation, let the id stand that was used later.")
]

app = typer.Typer(no_args_is_help=True, help="Take over conversations from elsewhere.")


@app.command("openclaw")
def import_openclaw(
    path: PathArgument,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    agent: Agent = None,
    principal: Principal = None,
    dry_run: DryRun = False,
    take_newer: TakeNewer = False,
    as_json: AsJson = False,
) -> None:
    """Adopt the session ids of an OpenClaw gateway, so that putting the guard in front of it changes nobody's.

    It may run while both serve, and any number of times: what was adopted stays, and a conversation that has another
    id here is listed and left alone. Exits with 1 then, and when a key is one the guard would refuse.
    """
    with explained():
        place = open_place(store, namespace=namespace, default_agent=agent)
        report = asyncio.run(_Import(place, principal, dry_run, take_newer).run(path))
    typer.echo(report.as_json() if as_json else report.as_text())
    raise typer.Exit(report.code)


class _Import:
    """One reading of one file."""

    def __init__(self, place: Place, principal: str | None, dry: bool, takes_newer: bool) -> None:
        if not isinstance(place.store, AdoptingStore):
            raise ConfigurationError(f"{place.name} cannot take over conversations")
        self._place = place
        self._principal = principal
        self._adoption = Adoption(place.store, dry=dry, takes_newer=takes_newer)
        self._report = ImportReport(place.name, dry, self._adoption.adopted)

    async def run(self, path: Path) -> ImportReport:
        file = open_file(path)
        try:
            now = await self._place.store.ping()
            with progress(TaskProgressColumn()) as shown:
                task = shown.add_task("importing", total=file.size)
                async for batch in batches(self._offers(file, now)):
                    await self._adoption.offer(batch)
                    shown.update(task, completed=file.position, description=f"{self._report.entries:,} entries")
        finally:
            await self._place.store.aclose()
        return self._report

    async def _offers(self, file: GatewayFile, now: int) -> AsyncIterator[Offer]:
        for key, entry in file.entries():
            self._report.entries += 1
            record = record_of(entry, now)
            try:
                if record is None:
                    self._report.leave_out(key, "no_session_id")
                else:
                    yield Offer(key, self._place.row_key(key, None, self._principal), record)
            except Refusal as error:
                self._report.leave_out(key, error.code)
