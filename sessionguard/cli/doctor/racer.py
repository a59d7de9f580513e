"""One process of the doctor's race: `python -m sessionguard.cli.doctor.racer`, with the plan as JSON on its input.

On the input, because the URL of a store may hold a password, and everybody can read the arguments of a process. It says
when it is ready, waits for the start, and prints what it was told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

from sessionguard.cli.opening import open_store
from sessionguard.errors import StoreUnavailable
from sessionguard.records import SessionRecord
from sessionguard.store import SessionStore

TASKS = 4


def main() -> None:
    """Take part in every turn, as many tasks at once as there are."""
    logging.disable(logging.CRITICAL)
    asyncio.run(_race(json.loads(sys.stdin.readline())))


async def _race(plan: Mapping[str, Any]) -> None:
    store = open_store(plan["url"])
    answers: list[list[Any]] = []
    try:
        await store.ping()
        print("ready", flush=True)  # noqa: T201 - the parent reads it
        start = float(sys.stdin.readline())
        for turn, (key, stale) in enumerate(plan["turns"]):
            await asyncio.sleep(start + turn * plan["seconds"] - time.monotonic())
            observed = None if stale is None else SessionRecord(*stale)
            answers += await asyncio.gather(*(_reserve(store, key, observed) for _ in range(TASKS)))
    finally:
        await store.aclose()
    print(json.dumps(answers))  # noqa: T201


async def _reserve(store: SessionStore, key: str, observed: SessionRecord | None) -> list[Any]:
    """Return the key, the id that stands, and whether this call has written it; no id where there was no answer."""
    try:
        reservation = await store.reserve(key, str(uuid.uuid4()), observed)
    except StoreUnavailable:
        return [key, None, False]
    return [key, reservation.record.session_id, reservation.created]


if __name__ == "__main__":
    main()
