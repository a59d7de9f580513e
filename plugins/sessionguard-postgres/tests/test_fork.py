"""A fork splits no conversation and no connection: neither side hears, or says, what was meant for the other."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from postgres_server import PostgresServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

FAMILY = """
import asyncio, contextlib, gc, json, os, sys, threading
from sessionguard_postgres import PostgresStore, connector, pool

url, state = sys.argv[1:]
# Nothing here is about time, and a connection that is late would be replaced.
pool.STATEMENT_SECONDS = pool.JOB_SECONDS = 60.0
connector.SESSION["statement_timeout"] = "60s"
store = PostgresStore(url)
PID = "select pg_backend_pid() as pid"

async def use(name):
    ids = [(await store.reserve(f"{n}", f"{name}-{n}", None)).record.session_id for n in range(40)]
    read = [(await store.get(f"{n}")).session_id for n in range(40)]
    assert ids == read, (ids, read)
    return ids

async def backend():
    return (await store._row(PID))["pid"]

def report(name, **values):
    os.write(1, (json.dumps({"name": name, **values}) + "\\n").encode())

def descriptors():
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found

def connections():
    return {
        os.readlink(f"/proc/self/fd/{connection._transport.get_extra_info('socket').fileno()}")
        for pool in store._pools._pools.values() for connection in pool.connections
    }

async def live_and_close():
    ids = await use("child")
    await store.aclose()
    return ids

def fork():
    ours = connections()
    child = os.fork()
    if not child:
        shared = len(ours & descriptors())
        ids = asyncio.run(live_and_close())
        gc.collect()
        report("child", ids=ids, shared=shared)
        sys.exit(0)
    return child

if state == "idle in another loop":
    ready, done, told = threading.Event(), threading.Event(), []
    async def live():
        told.append(await backend())
        ready.set()
        while not done.is_set():
            await asyncio.sleep(0.01)
        told.append(await backend())
        told.append(await use("parent"))
    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    ready.wait()
    child = fork()
    done.set()
    thread.join()
    before, after, ids = told
elif state == "busy in another loop":
    ready, forked, told = threading.Event(), threading.Event(), []
    async def live():
        told.append(await backend())
        slow = store._row("select pg_sleep(3)")
        task = asyncio.ensure_future(slow)
        while not store._pools.here()._busy:
            await asyncio.sleep(0)
        ready.set()
        await task
        told.append(forked.is_set())
        told.append(await backend())
        told.append(await use("parent"))
    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    ready.wait()
    child = fork()
    forked.set()
    thread.join()
    before, was_busy, after, ids = told
    assert was_busy
else:
    asyncio.run(store.ping())
    child = fork()
    before = after = 0
    ids = asyncio.run(use("parent"))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
report("parent", ids=ids, same=before == after, status=status)
"""


@pytest.mark.parametrize("state", ["used and at rest", "idle in another loop", "busy in another loop"])
def test_parent_and_child_agree_on_every_id(server: PostgresServer, database: str, state: str) -> None:
    """And the parent's connection is the one it was, whatever the child does and however it ends."""
    url = server.url(database, create_schema="on")
    command = [sys.executable, "-W", "ignore", "-c", FAMILY, url, state]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = {each.pop("name"): each for each in map(json.loads, run.stdout.splitlines())}

    assert run.returncode == 0, run.stderr
    assert told["child"]["ids"] == told["parent"]["ids"]
    assert len(told["child"]["ids"]) == 40
    assert told["child"]["shared"] == 0
    assert (told["parent"]["same"], told["parent"]["status"]) == (True, 0)


PRELOADED = """
import asyncio, os, sys
from sessionguard import SessionGuard
from sessionguard.testing import AppProbe, Exchange

guard = SessionGuard(AppProbe(), store=sys.argv[1], expose_session_id=True)

def ask():
    exchange = asyncio.run(Exchange(guard, [(b"x-openclaw-session-key", b"key")]).run())
    return exchange.headers["x-openclaw-session-id"]

before = ask()
for _ in range(3):
    if not os.fork():
        os.write(1, (ask() + "\\n").encode())
        os._exit(0)
    os.wait()
os.write(1, (ask() + "\\n").encode())
os.write(1, (before + "\\n").encode())
"""


def test_a_guard_that_was_used_before_a_fork_serves_on_in_every_child(server: PostgresServer, database: str) -> None:
    """As with servers that load the application before they fork their workers."""
    command = [sys.executable, "-W", "ignore", "-c", PRELOADED, server.url(database, create_schema="on")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert len(run.stdout.split()) == 5
    assert len({*run.stdout.split()}) == 1
