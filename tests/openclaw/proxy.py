"""`sessionguard proxy` in front of a gateway, as the documentation says to run it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live import LiveServer, free_port, running

SESSIONGUARD = Path(sys.executable).with_name("sessionguard")


@contextmanager
def running_proxy(upstream: str, directory: Path, *options: str) -> Iterator[LiveServer]:
    """Run the proxy until the block ends; its conversations are kept in `directory`, as its log is."""
    port = free_port()
    command = [str(SESSIONGUARD), "proxy", upstream, "--port", str(port), *options]
    with running(command, port, directory, {"SESSIONGUARD_STORE": f"disk://{directory / 'conversations'}"}) as proxy:
        yield proxy
