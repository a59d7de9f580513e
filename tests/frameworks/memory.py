"""How far processes have grown, as Linux keeps count of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

PROCESSES = Path("/proc")


@contextlib.contextmanager
def peak_growth(pid: int) -> Iterator[Callable[[], int]]:
    """Yield what says by how many bytes `pid` and its children grew, at most, since this block began."""
    before = {process: _bytes(process, "VmRSS") for process in _family(pid)}
    for process in before:
        (PROCESSES / str(process) / "clear_refs").write_text("5")
    yield lambda: max(_bytes(process, "VmHWM") - before.get(process, 0) for process in _family(pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in (PROCESSES / str(pid) / "task").iterdir():
        # A thread that has ended meanwhile has left its children to another one.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _bytes(pid: int, field: str) -> int:
    status = (PROCESSES / str(pid) / "status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, status
    return 1024 * int(found[1])
