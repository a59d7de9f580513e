"""All checks in the order in which they make sense."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sessionguard.cli.doctor import (
    clock,
    durability,
    filesystem,
    free_space,
    header,
    place,
    plugin_health,
    race,
    server,
    sqlite_version,
    start_method,
    transcripts,
)
from sessionguard.cli.doctor.findings import red, yellow
from sessionguard.cli.exits import Exit
from sessionguard.cli.opening import Place, exists, open_place
from sessionguard.errors import ConfigurationError, StoreUnavailable
from sessionguard.records import Diagnosis, Verdict
from sessionguard.settings import GuardSettings
from sessionguard.stores.embedded import url as embedded_url
from sessionguard.stores.embedded.store import EmbeddedStore


@dataclass
class Checkup:
    """What was found; `is_down` when the store may answer later."""

    found: list[Diagnosis] = field(default_factory=list)
    is_down: bool = False

    def code(self, *, strict: bool) -> Exit:
        bad = (Verdict.RED, Verdict.YELLOW) if strict else (Verdict.RED,)
        if self.is_down:
            return Exit.LATER
        return Exit.FINDING if any(each.verdict in bad for each in self.found) else Exit.OK


async def check_all(url: str, namespace: str | None, front: str | None, directory: Path | None) -> Checkup:
    """Look at everything that can be looked at; `front` and `directory` only where they are named."""
    checkup = Checkup([*plugin_health.check(os.environ)])
    settings = GuardSettings()
    try:
        here = open_place(url, namespace=namespace)
    except ConfigurationError as error:
        checkup.found.append(red("store", str(error).removeprefix("store: ")))
    else:
        settings = here.settings
        try:
            await _check_store(here, checkup)
        finally:
            await here.store.aclose()
    if front is not None:
        checkup.found += header.check(front, settings.header)
    if directory is not None:
        checkup.found += transcripts.check(directory)
    return checkup


async def _check_store(here: Place, checkup: Checkup) -> None:
    checkup.found += start_method.check(here.store)
    if isinstance(here.store, EmbeddedStore):
        # Before it is opened: whoever opens and closes the file beside a connection takes its locks away.
        checkup.found += _check_files(here, here.store)
    if not exists(here.store):
        says = f"there is none at {here.name} yet; the first worker makes it"
        checkup.found.append(yellow("store", says, "if it should be there: is this the right user and namespace?"))
        return
    try:
        answers, found = await server.check(here.store, here.name)
        checkup.found += found
        if not answers:
            return
        checkup.found += await clock.check(here.store)
        checkup.found += await race.check(here.store, here.url)
    except StoreUnavailable as error:
        checkup.is_down = True
        checkup.found.append(red("store", f"{error}", "see that it runs and can be reached from here; try again later"))


def _check_files(here: Place, store: EmbeddedStore) -> Sequence[Diagnosis]:
    found = [*sqlite_version.check()]
    directory = Path(store.location)
    if exists(store):
        asked = embedded_url.parse(here.url, here.settings)
        found += place.check(directory, store.file_name)
        found += filesystem.check(directory, network_allowed=asked.network_filesystem)
        found += durability.check(directory / store.file_name, asked.synchronous)
        found += free_space.check(directory)
    return found
