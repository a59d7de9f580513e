"""A move while real workers serve, from any store that can be left to any that adopts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from live import LiveServer, uvicorn

from sessionguard import AdoptingStore, SessionRecord, SessionStore

APPS = Path(__file__).parent / "apps"
COMMAND = Path(sys.executable).with_name("sessionguard")
LONG_AGO = SessionRecord("ours", 1_000_000_000_000, 1_000_000_060_000)
KEYS = [f"default//agent:main:{number:03}" for number in range(500)]
CLIENTS = 8
ESTABLISHED = 40


async def filled(store: AdoptingStore) -> dict[str, SessionRecord]:
    """Give a store conversations that nobody has used for ages, and a new one; returns its rows and closes it."""
    for key in KEYS:
        await store.adopt(key, LONG_AGO, None)
    await store.reserve("default//agent:main:new", "new", None)
    return await rows(store)


async def rows(store: SessionStore) -> dict[str, SessionRecord]:
    """Return all rows of a store, and close it."""
    found = {key: record async for key, record in store.scan()}
    await store.aclose()
    return found


class Load:
    """Clients that ask for new and for known conversations until they are refused; `ids` is what they were told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count()
        self.ids: defaultdict[str, set[str]] = defaultdict(set)
        self.refusals: list[httpx.Response] = []
        self.warm = asyncio.Event()

    async def run(self) -> None:
        async with client(self._url) as http:
            await asyncio.gather(*(self._client(http, number) for number in range(CLIENTS)))

    async def _client(self, http: httpx.AsyncClient, number: int) -> None:
        for turn in itertools.count(number):
            # Every third conversation is asked for by all clients, every other one is new.
            known = f"known-{turn % ESTABLISHED}"
            key = known if turn % 3 == 0 else f"new-{next(self._numbers) // 2}"
            response = await http.post("/", headers={"x-openclaw-session-key": key})
            if response.status_code != 200:
                self.refusals.append(response)
                return
            self.ids[key].add(response.json()["session_id"])
            if len(self.ids) > 3 * ESTABLISHED:
                self.warm.set()


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that opens a connection for every request, so that all workers are met."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=20) as http:
        yield http


async def copied(*arguments: str) -> str:
    """Run the command to its end; returns what it said."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, "store", "copy", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    return output.decode()


async def ask(server: LiveServer, *keys: str) -> list[httpx.Response]:
    async with client(server.url) as http:
        return [await http.post("/", headers={"x-openclaw-session-key": key}) for key in keys]


async def move_under_load(old: str, new: str, directory: Path) -> None:
    """Move two workers from the store at `old` to that at `new`, and assert what their clients may rely on.

    Old workers serve until the retirement and refuse from then on, naming the place; new ones keep every id that was
    handed out. The stores are empty, the URLs without passwords and options.
    """
    options = ("--workers", "2")
    with uvicorn("bare_app:app", directory, *options, app_dir=APPS, env={"SESSIONGUARD_STORE": old}) as server:
        load = Load(server.url)
        running = asyncio.ensure_future(load.run())
        await load.warm.wait()
        said = await copied(old, new)
        await running
        refused = load.refusals + await ask(server, *(f"known-{number}" for number in range(20)), "never-asked-for")
    with uvicorn("bare_app:app", directory, *options, app_dir=APPS, env={"SESSIONGUARD_STORE": new}) as server:
        answers = await ask(server, *load.ids)

    assert f"Set SESSIONGUARD_STORE={new} and restart the workers" in said
    assert {response.status_code for response in refused} == {503}
    assert all(f"to {new};" in response.json()["error"]["message"] for response in refused)
    assert len(load.refusals) == CLIENTS
    assert {len(ids) for ids in load.ids.values()} == {1}
    assert [{answer.json()["session_id"]} for answer in answers] == [*load.ids.values()]
    assert {answer.headers["x-sessionguard-status"] for answer in answers} == {"existing"}
