"""The stores that commands are given: opened as a guard of this environment would open them."""

from __future__ import annotations

import os
from urllib.parse import quote

from sessionguard.errors import ConfigurationError
from sessionguard.plugins import PluginRegistry
from sessionguard.settings import GuardSettings, disabled_plugins
from sessionguard.store import SessionStore


def open_store(url: str) -> SessionStore:
    """Return the store at `url`, not yet used; raises ConfigurationError, also for one that lives in one process."""
    plugins = PluginRegistry((), disabled_plugins({}, os.environ))
    settings = GuardSettings.load({"store": url}, os.environ, plugins.declared_variables())
    store = plugins.store(settings)
    if store.coordination == "process":
        raise ConfigurationError(f"store: {url} lives and ends within one process; no command can reach it")
    return store


def named(url: str, store: SessionStore) -> str:
    """Return a URL of `store` to show to people: the place that `url` stands for, without a password."""
    location = store.location
    return location if "://" in location else f"{url.partition(':')[0].lower()}://{quote(location)}"
