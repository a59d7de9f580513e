"""The store by its URL: `SESSIONGUARD_STORE=ledger:///var/lib/app/sessions.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sessionguard import ConfigurationError, GuardSettings, SessionStore, hookimpl
from sessionguard_ledger.store import LedgerStore


class Ledger:
    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Callable[[str, GuardSettings], SessionStore]]:
        return {"ledger": open_ledger}


def open_ledger(url: str, settings: GuardSettings) -> LedgerStore:
    """Return the store of a URL, without touching its file; raises ConfigurationError for one that names none."""
    parts = urlsplit(url)
    if parts.netloc or parts.query or len(parts.path) < 2:
        raise ConfigurationError(f"store: {url!r} is not understood; write ledger:///absolute/path/of/a/file.json")
    return LedgerStore(Path(unquote(parts.path)))
