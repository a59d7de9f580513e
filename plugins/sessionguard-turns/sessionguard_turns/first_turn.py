"""The turn that establishes its conversation, if it ends well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class FirstTurn:
    """Calls `settle` once: at the first `end`, or after `seconds` of running, in the event loop it was made in."""

    def __init__(self, settle: Callable[[], None], seconds: float) -> None:
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self.end)
        self.has_ended = False

    def end(self) -> None:
        """Let the requests in that wait for this turn."""
        if not self.has_ended:
            self.has_ended = True
            self._timer.cancel()
            self._settle()

    def end_soon(self) -> None:
        """Do the same from any thread."""
        with contextlib.suppress(RuntimeError):  # The event loop is closed, and the turn over with it.
            self._loop.call_soon_threadsafe(self.end)

    def close(self) -> None:
        """Leave the conversation as it is."""
        self.has_ended = True
        self._timer.cancel()
