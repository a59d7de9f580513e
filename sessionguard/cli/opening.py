"""The stores that commands are given: opened as a guard of this environment would open them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sessionguard.errors import ConfigurationError
from sessionguard.keys import canonical, row_key
from sessionguard.plugins import PluginRegistry
from sessionguard.settings import GuardSettings, disabled_plugins
from sessionguard.store import SessionStore
from sessionguard.stores.embedded.store import EmbeddedStore

_HASHED = re.compile("#[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """A store and the settings of the guards that use it; nothing is opened yet."""

    url: str
    store: SessionStore
    settings: GuardSettings
    knows_principals: bool

    @property
    def name(self) -> str:
        return named(self.url, self.store)

    def of_agent(self, agent: str) -> Place:
        """Return the same place, for keys that belong to `agent` unless they name another."""
        return replace(self, settings=replace(self.settings, default_agent=agent))

    def row_key(self, raw_key: str, agent: str | None = None, principal: str | None = None) -> str:
        """Return where a conversation is kept; raises a Refusal for a key that is not legal.

        Raises ConfigurationError when conversations belong to principals and none is named.
        """
        if self.knows_principals and not principal:
            raise ConfigurationError("conversations belong to principals here; say whose it is, with --principal")
        settings = self.settings
        key = canonical(raw_key, agent, default_agent=settings.default_agent, max_length=settings.max_key_length)
        return row_key(settings.namespace, principal, key, settings.key_secret)

    def listed_row_key(self, text: str, agent: str | None = None, principal: str | None = None) -> str:
        """Return the same for a key, or for the hash that a store with a `key_secret` lists in its place."""
        if is_hashed(text):
            return f"{self.settings.namespace}/{text}"
        return self.row_key(text, agent, principal)


def is_hashed(text: str) -> bool:
    """Whether this is what a row with a `key_secret` shows instead of its key."""
    return _HASHED.fullmatch(text) is not None


def open_place(url: str, **options: Any) -> Place:
    """Return the place at `url`; raises ConfigurationError, also for a store that lives in one process.

    `options` are further settings; those that are None are left to the environment.
    """
    plugins = PluginRegistry((), disabled_plugins({}, os.environ))
    given = {name: value for name, value in options.items() if value is not None}
    settings = GuardSettings.load({"store": url, **given}, os.environ, plugins.declared_variables())
    store = plugins.store(settings)
    if store.coordination == "process":
        raise ConfigurationError(f"store: {url} lives and ends within one process; no command can reach it")
    return Place(url, store, settings, bool(plugins.implementations()["sessionguard_principal"]))


def open_store(url: str) -> SessionStore:
    """Return the store at `url`, not yet used; raises as `open_place` does."""
    return open_place(url).store


@contextlib.asynccontextmanager
async def existing_place(url: str, **options: Any) -> AsyncIterator[Place]:
    """Yield the place at `url`, and close its store; raises ConfigurationError where there is none yet.

    Whoever only looks must not leave an empty store behind, least of all one that belongs to the wrong user.
    """
    place = open_place(url, **options)
    if not exists(place.store):
        raise ConfigurationError(f"there is no store at {place.name}; is it the right one, and the right --namespace?")
    try:
        yield place
    finally:
        await place.store.aclose()


def exists(store: SessionStore) -> bool:
    """Whether the file of a store that is one is there; of others it is not known before they are asked."""
    return not isinstance(store, EmbeddedStore) or Path(store.location, store.file_name).exists()


def named(url: str, store: SessionStore) -> str:
    """Return a URL of `store` to show to people: the place that `url` stands for, without a password."""
    location = store.location
    return location if "://" in location else f"{url.partition(':')[0].lower()}://{quote(location)}"
