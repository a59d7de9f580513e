"""One store in several event loops, threads and forked processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from redis_servers import PATIENT, RedisServer, open_store
from sessionguard_redis.store import RedisStore

pytestmark = pytest.mark.server

FORK = """
import asyncio, os, sys, threading
from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

guard = SessionGuard(AppProbe(), store=sys.argv[1], expose_session_id=True)

async def ask(*keys):
    asked = await asyncio.gather(*(Exchange(guard, [(b"x-openclaw-session-key", key.encode())]).run() for key in keys))
    return [each.headers["x-openclaw-session-id"] for each in asked]

loop = asyncio.new_event_loop()  # Not closed before the fork: its connections are open in the child as well.
keys = [f"key-{number}" for number in range(50)]
before = loop.run_until_complete(ask("before"))
# The worst moment: another thread, which the child will not have, is about to open its connections.
opening, forked = threading.Event(), threading.Event()

def open_slowly():
    with guard._store._clients._lock:
        opening.set()
        forked.wait()

thread = threading.Thread(target=open_slowly)
thread.start()
opening.wait()
child = os.fork()
forked.set()
if child:
    ids = [loop.run_until_complete(ask("before", *keys)) for _ in range(5)]
else:
    ids = [asyncio.run(ask("before", *keys)) for _ in range(5)]
assert all(each == ids[0] for each in ids), ids
os.write(1, (" ".join(ids[0]) + "\\n").encode())
if not child:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
# The child is gone; the parent's connections are none the worse for it.
assert loop.run_until_complete(ask("before", *keys)) == ids[0]
loop.run_until_complete(guard._store.aclose())
loop.close()
"""


def test_parent_and_child_of_a_fork_agree_on_every_id(server: RedisServer) -> None:
    """Used before the fork, and in both afterwards, at the same time; each has connections of its own."""
    command = [sys.executable, "-W", "ignore", "-c", FORK, server.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()

    assert first == second


def test_loops_at_the_same_time_have_connections_of_their_own(server: RedisServer) -> None:
    """Threads that race for the same keys agree on every id, and exactly one of them creates each."""
    store = open_store(server.url + PATIENT)
    ready = threading.Barrier(4)
    created: list[str] = []

    async def race(number: int) -> None:
        for turn in range(50):
            key = f"key-{turn}"
            reservations = await asyncio.gather(*(store.reserve(key, f"id-{number}-{n}", None) for n in range(4)))
            created.extend(key for each in reservations if each.created)

    def run(number: int) -> None:
        ready.wait()
        asyncio.run(race(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(created) == sorted({f"key-{turn}" for turn in range(50)})


def test_a_loop_that_ends_closes_its_connections(server: RedisServer) -> None:
    """Nobody has to close the store for that, so loops may come and go."""
    store = open_store(server.url + PATIENT)
    for _ in range(5):
        asyncio.run(store.get("key"))

    assert server.connections(0) == 0


def test_closing_a_store_closes_the_connections_of_every_loop(server: RedisServer) -> None:
    """Those of other threads as well; their loops go on, and so does the store when it is used again."""
    store = open_store(server.url + PATIENT)
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(store.get("key"), other).result(10)
    asyncio.run(use_and_close(store))
    closed = server.connections(0)
    asyncio.run_coroutine_threadsafe(store.reserve("key", "id", None), other).result(10)
    asyncio.run_coroutine_threadsafe(store.aclose(), other).result(10)
    other.call_soon_threadsafe(other.stop)
    thread.join()
    other.close()

    assert closed == 0


async def use_and_close(store: RedisStore) -> None:
    await store.get("key")
    await store.aclose()
