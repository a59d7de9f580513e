"""The store at a URL, found as a guard finds it: among the built-in ones and the plugins that are installed."""

from __future__ import annotations

from sessionguard.plugins import PluginRegistry
from sessionguard.settings import GuardSettings
from sessionguard.store import SessionStore


def open_store(url: str) -> SessionStore:
    """Return the store, not yet used; raises ConfigurationError for a URL nobody knows."""
    return PluginRegistry((), ()).store(GuardSettings(store=url))
