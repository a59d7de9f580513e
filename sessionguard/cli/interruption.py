"""Requests to end from outside, taken as an exit, so that whatever is open is closed on the way out."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def exit_when_ended() -> Iterator[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise SystemExit with the shell's code, 128 + number."""
    with _handled_by(lambda number, frame: sys.exit(128 + number)):
        yield


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Keep the block whole: a signal that arrives within it takes effect at its end."""
    arrived: list[int] = []
    with _handled_by(lambda number, frame: arrived.append(number)):
        yield
    for number in arrived:
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, restored in previous.items():
            signal.signal(number, restored)
