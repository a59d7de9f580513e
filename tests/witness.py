"""Who touches files and databases while a guard serves: `witness.py KIND PLACE` prints what it saw.

An audit hook cannot be taken back, so this is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import ordeal

HARMLESS = ("_path_normpath", "_path_splitroot_ex", "fspath", "getpid", "urandom")
"""Functions of the system module that look at no file."""


class Witness:
    """Notes the threads that raise audit events of files and databases, and what the loop's thread calls itself."""

    def __init__(self) -> None:
        self.watching = False
        self.callers: set[str] = set()
        self.calls: set[str] = set()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and (event == "open" or event.startswith(("os.", "shutil.", "sqlite3."))):
            self.callers.add(threading.current_thread().name)

    def profile(self, frame: FrameType, event: str, called: Any) -> None:
        """Not every call of the system is audited: `os.stat` is not, nor is a statement of SQL."""
        if self.watching and event == "c_call" and called.__name__ not in HARMLESS:
            owner = getattr(called, "__self__", None)
            if called.__module__ == "posix" or isinstance(owner, (sqlite3.Connection, sqlite3.Cursor)):
                self.calls.add(called.__qualname__)


async def testify(witness: Witness, kind: str, place: Path) -> ordeal.Report:
    await ordeal.seed(kind, place / "sessions")
    store = ordeal.STORES[kind](place / "sessions")
    guard = ordeal.guarded(store)
    witness.watching = True
    answers = [await ordeal.ask(guard, key) for key in (*ordeal.KEYS, "no key: a space")]
    await guard._resolver._touches.flush()
    await store.aclose()
    witness.watching = False
    shutil.rmtree(place / "sessions")
    (place / "sessions").touch()
    witness.watching = True
    answers.append(await ordeal.ask(guard, "refused"))
    await store.aclose()
    witness.watching = False
    return {
        "statuses": [answer["status"] for answer in answers],
        "callers": sorted(witness.callers),
        "calls of the loop": sorted(witness.calls),
        "default executor": asyncio.get_running_loop()._default_executor is not None,  # type: ignore[attr-defined]
    }


def main(kind: str, place: str) -> None:
    witness = Witness()
    sys.addaudithook(witness.audit)
    sys.setprofile(witness.profile)
    # In debug mode, which the development mode of Python turns on, asyncio itself reads source files.
    print(json.dumps(asyncio.run(testify(witness, kind, Path(place)), debug=False)))


if __name__ == "__main__":
    main(*sys.argv[1:])
