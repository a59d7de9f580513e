"""`sessionguard import openclaw [PATH]`: take over the session ids of a gateway, of all its agents at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskProgressColumn

from sessionguard.cli.adoption import Adoption, Offer
from sessionguard.cli.batches import batches
from sessionguard.cli.exits import explained
from sessionguard.cli.gateway.entry import record_of
from sessionguard.cli.gateway.errors import Locked, Unreadable
from sessionguard.cli.gateway.file import GatewayFile, open_newest
from sessionguard.cli.gateway.home import AgentStore, Stores, default_home, find_stores
from sessionguard.cli.import_report import AgentReport, ImportReport
from sessionguard.cli.opening import Place, open_place
from sessionguard.cli.options import AsJson, Namespace, Principal, StoreUrl
from sessionguard.cli.progress import progress
from sessionguard.errors import ConfigurationError, Refusal
from sessionguard.keys import agent_id
from sessionguard.store import AdoptingStore

PathArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PATH]",
        help="The gateway's home, or one sessions.json or openclaw-agent.sqlite; OPENCLAW_STATE_DIR or ~/.openclaw.",
        show_default=False,
    ),
]
Agent = Annotated[
    str | None,
    typer.Option(help="The agent of keys that name none, for a single file; its place names it.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count the ids that would be adopted, and write nothing.")]
TakeNewer = Annotated[
    bool, typer.Option("--take-newer", help="Where both know a conversation, take the id that was used later.")
]

app = typer.Typer(no_args_is_help=True, help="Take over conversations from elsewhere.")


@app.command("openclaw")
def import_openclaw(
    path: PathArgument = None,
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    agent: Agent = None,
    principal: Principal = None,
    dry_run: DryRun = False,
    take_newer: TakeNewer = False,
    as_json: AsJson = False,
) -> None:
    """Adopt the session ids of an OpenClaw gateway, of all its agents, before the guard is put in front of it.

    The gateway may be running: its files are only read. A row that stands is never changed, so the command may be run
    again after an interruption. Exits with 1 when a conversation has another id here, when a key is one the guard
    would refuse, and when the store of one agent among several could not be read.
    """
    with explained():
        place = open_place(store, namespace=namespace)
        importer = _Import(place, agent, principal, dry_run, take_newer)
        report = asyncio.run(importer.run(find_stores(path or default_home(os.environ))))
    typer.echo(report.as_json() if as_json else report.as_text())
    raise typer.Exit(report.code)


class _Import:
    """An import of the stores of a gateway."""

    def __init__(self, place: Place, agent: str | None, principal: str | None, dry: bool, takes_newer: bool) -> None:
        if not isinstance(place.store, AdoptingStore):
            raise ConfigurationError(f"{place.name} cannot take over conversations")
        self._place = place
        self._store = place.store
        self._agent = None if agent is None else agent_id(agent)
        self._principal = principal
        self._options: Mapping[str, bool] = {"dry": dry, "takes_newer": takes_newer}
        self._report = ImportReport(place.name, dry)

    async def run(self, stores: Stores) -> ImportReport:
        if self._agent is not None and len(stores.found) > 1:
            agents = ", ".join(str(each.agent) for each in stores.found)
            raise ConfigurationError(f"--agent is for a single file, and there are stores of {agents}; leave it out")
        self._report.skipped += stores.skipped
        try:
            now = await self._store.ping()
            with progress(TaskProgressColumn()) as shown:
                for store in stores.found:
                    await self._read(store, now, shown, is_only=len(stores.found) == 1)
        finally:
            await self._store.aclose()
        self._report.find_duplicates()
        return self._report

    async def _read(self, store: AgentStore, now: int, shown: Progress, *, is_only: bool) -> None:
        try:
            file, path, remark = open_newest(store)
            named = self._agent or store.agent or file.agent or self._place.settings.default_agent
            report = AgentReport(named, path, file, remark)
            self._report.agents.append(report)
            await self._adopt(report, file, now, shown)
        except (Unreadable, Locked) as error:
            if is_only:
                raise
            self._report.add_failure(store, error)

    async def _adopt(self, report: AgentReport, file: GatewayFile, now: int, shown: Progress) -> None:
        adoption = Adoption(self._store, **self._options)
        report.adopted = adoption.adopted
        if file.invalid:
            report.left_out["invalid_entry"] = file.invalid
        place = self._place.of_agent(report.agent)
        task = shown.add_task("importing", total=file.size)
        async for batch in batches(self._offers(report, file, place, now)):
            await adoption.offer(batch)
            shown.update(task, completed=file.position, description=f"{report.agent}: {report.entries:,} entries")

    async def _offers(self, report: AgentReport, file: GatewayFile, place: Place, now: int) -> AsyncIterator[Offer]:
        for key, entry in file.entries():
            report.entries += 1
            record = record_of(entry, now)
            try:
                if record is None:
                    report.leave_out(key, "no_session_id")
                else:
                    yield Offer(key, place.row_key(key, None, self._principal), record)
            except Refusal as error:
                report.leave_out(key, error.code, str(error))
