"""A request to end from outside, taken as an exit, so that whatever is open is closed on the way out."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def exit_when_ended() -> Iterator[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise SystemExit with the shell's code, 128 + number."""
    previous = {number: signal.signal(number, _exit) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
