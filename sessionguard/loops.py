"""The event loop that serves a request: one of asyncio's, uvloop's among them, and no other."""

from __future__ import annotations

import asyncio

from sessionguard.errors import ConfigurationError


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs; raises ConfigurationError where none of asyncio's does, as on trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise ConfigurationError(
            "The guard works on asyncio only, and no event loop of asyncio runs here: start the server with its asyncio"
            " workers (hypercorn: leave out --worker-class trio)."
        ) from error
