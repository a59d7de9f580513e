"""Asynchronous tests that need no plugin: every one brings its own event loop and closes its store."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sessionguard.leases import LeaseSupport
from sessionguard.records import SessionRecord
from sessionguard.store import SessionStore

KEY = "contract//agent:main:key"
AT_ONCE = 50
OBSERVATIONS = ("nothing", "the standing row", "the row before a touch", "another row")

Scenario = Callable[..., Coroutine[Any, Any, None]]


class LeasingStore(SessionStore, LeaseSupport):
    """A store that has leases, for those who write down types."""


def scenario(test: Scenario) -> Callable[..., None]:
    """Run an asynchronous test in a loop of its own and close its store behind it."""

    @functools.wraps(test)
    def run(self: object, store: SessionStore, **parameters: Any) -> None:
        async def play() -> None:
            try:
                await test(self, store, **parameters)
            finally:
                await store.aclose()

        asyncio.run(play())

    return run


def earlier(record: SessionRecord) -> SessionRecord:
    """Return the row as somebody saw it before it was last used."""
    return dataclasses.replace(record, updated_at=record.updated_at - 1)


def observations(standing: SessionRecord) -> dict[str, SessionRecord | None]:
    """Return what a caller may have seen before `standing`, by the names in `OBSERVATIONS`."""
    another = dataclasses.replace(standing, session_id="another")
    return dict(zip(OBSERVATIONS, (None, standing, earlier(standing), another), strict=True))


async def reserve_all(store: SessionStore, keys: Sequence[str]) -> None:
    """Give every key a row with the id `id`, some at a time: a store may take its time for hundreds at once."""
    for start in range(0, len(keys), AT_ONCE):
        await asyncio.gather(*(store.reserve(key, "id", None) for key in keys[start : start + AT_ONCE]))


async def tick(store: SessionStore, record: SessionRecord) -> None:
    """Wait until the store's clock has moved past the row."""
    while await store.ping() <= record.updated_at:  # noqa: ASYNC110 - a clock sets no events
        await asyncio.sleep(0.001)
