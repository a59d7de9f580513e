"""Removes what nobody has used for longer than the retention: a page of keys with every new row, one page at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sessionguard_postgres import statements
from sessionguard_postgres.job import JOB_SECONDS

if TYPE_CHECKING:
    from sessionguard_postgres.job import Work

PAGE = 200


class Sweeper:
    """Goes through the keys in order, and begins anew at the end. `retention` is in milliseconds, None keeps all."""

    def __init__(self, retention: int | None) -> None:
        self.sweeps = retention is not None
        self._retention = retention
        self._after = b""
        self._busy_until = 0.0

    def sweep(self, submit: Callable[[Work], asyncio.Future[Any]]) -> None:
        """Look at the next page, unless somebody is still looking; nobody waits for it."""
        if time.monotonic() < self._busy_until:
            return
        # A time and not a flag: an event loop that ends on the way would leave a flag up for ever.
        self._busy_until = time.monotonic() + JOB_SECONDS
        arguments = self._after, PAGE, self._retention
        submit(lambda connection: connection.fetchval(statements.SWEEP, *arguments)).add_done_callback(self._swept)

    def _swept(self, answer: asyncio.Future[Any]) -> None:
        self._busy_until = 0.0
        if not answer.cancelled() and answer.exception() is None:
            self._after = answer.result() or b""
