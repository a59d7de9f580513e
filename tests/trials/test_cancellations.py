"""Requests that are cancelled in the middle of a reservation leave nothing behind, in a real server on a real store."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn

from pytest_sessionguard import Tally
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.embedded.store import EmbeddedStore
from sessionguard.stores.sqlite import SqliteStore

APPS = Path(__file__).parent.parent / "apps"
STORES: dict[str, type[EmbeddedStore]] = {"disk": DiskStore, "sqlite": SqliteStore}
CANCELLATIONS, LONGEST = 300, 1000
KEYS, CALLERS = 8, 4
SETTLE_SECONDS = 30.0


@contextlib.contextmanager
def serving(kind: str, tmp_path: Path) -> Iterator[LiveServer]:
    """The impatient application; a reservation may take as long as a slow machine needs."""
    env = {"SESSIONGUARD_STORE": f"{kind}://{tmp_path / 'sessions'}", "SESSIONGUARD_RESERVE_TIMEOUT": "60"}
    with uvicorn("impatient_app:app", tmp_path, "--no-access-log", app_dir=APPS, env=env) as server:
        yield server


@contextlib.asynccontextmanager
async def client(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=SETTLE_SECONDS) as http:
        yield http


async def ask(http: httpx.AsyncClient, key: str, patience: float | None = None) -> httpx.Response:
    """Ask for the id of `key`; the server gives up after `patience` microseconds."""
    params = {} if patience is None else {"patience": int(patience)}
    return await http.post("/", params=params, headers={"x-openclaw-session-key": key})


async def held(http: httpx.AsyncClient) -> dict[str, int]:
    """What the server holds; always asked over the same connection, which is one of the things it holds."""
    counts: dict[str, int] = (await http.get("/held")).json()
    return counts


async def wait_until(http: httpx.AsyncClient, settled: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Ask until what is held has settled, or for so long that it never will; returns what was held last."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while not settled(counts := await held(http)) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return counts


async def rows(kind: str, tmp_path: Path) -> list[tuple[str, str]]:
    """Key and session id of every row."""
    store = STORES[kind](tmp_path / "sessions")
    try:
        return [(key.rpartition(":")[2], record.session_id) async for key, record in store.scan()]
    finally:
        await store.aclose()


class Trial:
    """Bursts of requests for new keys, each request with its own patience; `cancelled` counts the reservations hit."""

    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        self.random = random.Random(name)
        self.ids: dict[str, set[str]] = {}
        self.cancelled = self.bursts = 0
        self.name = name
        self._http = http

    async def burst(self, median: float | None = None) -> list[int]:
        """Ask for new keys, each several times at once; returns how many microseconds each reservation took.

        Given the `median`, each request is cancelled after some time between an eighth and the double of it.
        """
        self.bursts += 1
        keys = [f"{self.name}-{self.bursts}-{number // CALLERS}" for number in range(KEYS * CALLERS)]
        patience = [None if median is None else median * 2 ** self.random.uniform(-3, 1) for _ in keys]
        responses = await asyncio.gather(*(ask(self._http, *each) for each in zip(keys, patience, strict=True)))
        for key, response in zip(keys, responses, strict=True):
            self._note(key, response)
        reserved = [each for each in responses if each.headers.get("x-sessionguard-status") in ("new", "joined")]
        return [each.json()["microseconds"] for each in reserved]

    def _note(self, key: str, response: httpx.Response) -> None:
        ids, body = self.ids.setdefault(key, set()), response.json()
        if response.status_code == 504:
            self.cancelled += body["reserving"]
        else:
            assert response.status_code == 200, response.text
            ids.add(body["session_id"])

    async def run(self) -> None:
        """Cancel until enough were cancelled in the middle of a reservation, measuring anew every few bursts."""
        await self.burst()
        while self.cancelled < CANCELLATIONS:
            median = statistics.median(await self.burst())
            for _ in range(8):
                await self.burst(median)
            assert self.bursts < LONGEST, f"only {self.cancelled} reservations were cancelled"

    async def finish(self, http: httpx.AsyncClient) -> dict[str, set[str]]:
        """Ask for every key once more, in peace; returns every id that was ever answered, by key."""
        for key in self.ids:
            self._note(key, await ask(http, key))
        return self.ids


@pytest.mark.parametrize("kind", STORES)
async def test_cancelled_reservations_leave_nothing_behind_and_fork_nothing(
    tmp_path: Path, tally: Tally, kind: str
) -> None:
    """Tasks, descriptors, threads, flights, jobs and locks are back where they were; every key kept its one id."""
    with serving(kind, tmp_path) as server:
        async with client(server) as watch:
            ids = {"warm": {(await ask(watch, "warm")).json()["session_id"]}}
            before = await held(watch)
            for run in range(tally.choose(1, 100)):
                async with client(server) as http:
                    trial = Trial(http, f"{kind}-{run}")
                    await trial.run()
                after = await wait_until(watch, lambda counts: counts == before)
                assert after == before, trial.name
                ids |= await trial.finish(watch)
                tally.add("cancellations on a real server, 0 left anything behind", trial.cancelled)
    forked = {key: found for key, found in ids.items() if len(found) != 1}

    assert forked == {}
    assert await rows(kind, tmp_path) == sorted((key, *found) for key, found in ids.items())
    assert "Traceback" not in server.output
    assert "never retrieved" not in server.output


@pytest.mark.parametrize("kind", STORES)
async def test_a_client_that_hangs_up_cancels_nothing(tmp_path: Path, kind: str) -> None:
    """The database is locked until the server has seen every client go; then all reservations complete."""
    keys = [f"gone-{number}" for number in range(10)]
    with serving(kind, tmp_path) as server:
        async with client(server) as watch:
            await ask(watch, "warm")
            before = await held(watch)
            with locked(kind, tmp_path):
                sockets = [sent(server, key) for key in keys]
                asked = await wait_until(watch, lambda counts: counts["flights"] == len(keys))
                for each in sockets:
                    each.close()
                left = await wait_until(watch, lambda counts: counts["descriptors"] == before["descriptors"])
            after = await wait_until(watch, lambda counts: counts == before)
            found = [(key, id_) for key, id_ in await rows(kind, tmp_path) if key != "warm"]
            answers = [(key, (await ask(watch, key)).json()["session_id"]) for key in keys]

    assert (asked["flights"], left["flights"], left["descriptors"]) == (len(keys), len(keys), before["descriptors"])
    assert after == before
    assert found == answers


@contextlib.contextmanager
def locked(kind: str, tmp_path: Path) -> Iterator[None]:
    """No reservation can be written meanwhile."""
    path = tmp_path / "sessions" / STORES[kind].file_name
    with contextlib.closing(sqlite3.connect(path, timeout=SETTLE_SECONDS, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        yield
        intruder.execute("ROLLBACK")


def sent(server: LiveServer, key: str) -> socket.socket:
    """A connection over which `key` has been asked for, and nobody waits for the answer."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(f"POST / HTTP/1.1\r\nhost: here\r\nx-openclaw-session-key: {key}\r\n\r\n".encode())
    return connection
