"""What the store says of itself: whether it answers, what it warns of, and how its server is."""

from __future__ import annotations

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.errors import SessionGuardError, StoreUnavailable
from sessionguard.records import Diagnosis
from sessionguard.store import DiagnosableStore, SessionStore

SUBJECT = "store"


async def check(store: SessionStore, name: str) -> tuple[bool, list[Diagnosis]]:
    """Ask it; returns whether it answers, and the findings.

    Raises StoreUnavailable when it may answer later.
    """
    try:
        await store.ping()
        found = [green(SUBJECT, f"{name} answers, and is shared within one {store.coordination}")]
        if isinstance(store, DiagnosableStore):
            return True, found + list(await store.diagnose())
        return True, found + [yellow(SUBJECT, warning, "see docs/stores.md") for warning in store.warnings()]
    except StoreUnavailable:
        raise
    except SessionGuardError as error:
        return False, [red(SUBJECT, str(error).removeprefix("store: "))]
