"""A process that listens for its turn and is forked: parent and child each have to hear what is called to them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from sessionguard.testing.queueing import MINUTE, heard
from sessionguard.testing.scenario import LeasingStore

NAME = "turn/a"


def told_by(opening: str, *arguments: str) -> set[str]:
    """Run `both_are_called` on the `store` that this program opens, in a process of its own; returns what it says."""
    program = f"{opening}\nfrom ears_after_fork import both_are_called\nboth_are_called(store)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return {*run.stdout.splitlines()}


def both_are_called(store: LeasingStore) -> None:
    loop = asyncio.new_event_loop()  # Not closed before the fork: its ear is open in the child as well.
    ask = loop.run_until_complete
    ask(store.acquire(NAME, "first", MINUTE))
    called = ask(heard(store, "parent"))
    child = os.fork()
    if not child:
        asyncio.run(_wait_for_turn(store, "child"))
        os._exit(0)
    while not ask(store.acquire(NAME, "looking", MINUTE)).ahead > 1:
        ask(asyncio.sleep(0.01))
    ask(store.acquire(NAME, "parent", MINUTE, waited=0))
    ask(asyncio.sleep(0.2))
    ask(store.release(NAME, "first"))
    ask(asyncio.wait_for(called, 20))
    assert ask(store.acquire(NAME, "parent", MINUTE)).granted
    os.write(1, b"parent is called\n")
    os.waitpid(child, 0)
    ask(store.aclose())
    loop.close()


async def _wait_for_turn(store: LeasingStore, owner: str) -> None:
    await store.acquire(NAME, owner, MINUTE, waited=0)
    called = await heard(store, owner)
    os.write(1, f"{owner} waits\n".encode())
    await asyncio.wait_for(called, 20)
    assert (await store.acquire(NAME, owner, MINUTE, waited=0)).granted
    os.write(1, f"{owner} is called\n".encode())
    await store.release(NAME, owner)
