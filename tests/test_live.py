"""The reference behaviours over real HTTP: uvicorn processes, sockets, restarts, a store on disk."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from live import LiveServer, free_port, uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sessionguard import SessionRecord
from sessionguard.stores.disk.store import DiskStore

APPS = Path(__file__).parent / "apps"
KEY = {"x-openclaw-session-key": "final-1779465436"}
ROW = "default//agent:main:final-1779465436"


def serving(tmp_path: Path, *options: str) -> contextlib.AbstractContextManager[LiveServer]:
    """The bare application behind the guard, with a disk store in `tmp_path`."""
    env = {"SESSIONGUARD_STORE": f"disk://{tmp_path / 'sessions'}"}
    return uvicorn("bare_app:app", tmp_path, *options, app_dir=APPS, env=env)


@contextlib.asynccontextmanager
async def client(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client that opens a connection for every request."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=20) as http:
        yield http


async def rows(tmp_path: Path) -> list[tuple[str, SessionRecord]]:
    store = DiskStore(tmp_path / "sessions")
    try:
        return [pair async for pair in store.scan()]
    finally:
        await store.aclose()


def ids(responses: list[httpx.Response]) -> set[str]:
    return {response.json()["session_id"] for response in responses}


def statuses(responses: list[httpx.Response]) -> Counter[str]:
    return Counter(response.headers["x-sessionguard-status"] for response in responses)


@pytest.mark.slow
async def test_concurrent_requests_to_several_workers_get_one_id(tmp_path: Path) -> None:
    """Exactly one `new`, one row, and more than one process took part."""
    with serving(tmp_path, "--workers", "3") as server:
        async with client(server) as http:
            responses = list(await asyncio.gather(*(http.post("/", headers=KEY) for _ in range(60))))
            while len({response.json()["process"] for response in responses}) < 2:
                responses.append(await http.post("/", headers=KEY))
    counts = statuses(responses)
    row = await rows(tmp_path)

    assert len(ids(responses)) == 1
    assert counts["new"] == 1
    assert set(counts) <= {"new", "joined", "existing"}
    assert [(key, record.session_id) for key, record in row] == [(ROW, *ids(responses))]
    assert {tuple(response.json()["forwarded"]) for response in responses} == {tuple(ids(responses))}


@pytest.mark.slow
async def test_a_conversation_survives_a_restart(tmp_path: Path) -> None:
    """The new process finds the row, and what the old one had noted is written."""
    answers = []
    for _ in range(2):
        with serving(tmp_path) as server:
            async with client(server) as http:
                answers += [await http.post("/", headers=KEY) for _ in range(2)]
    ((_, record),) = await rows(tmp_path)

    assert len(ids(answers)) == 1
    assert [response.headers["x-sessionguard-status"] for response in answers] == [
        "new",
        "existing",
        "existing",
        "existing",
    ]
    assert record.updated_at > record.session_started_at


@pytest.mark.slow
async def test_a_killed_server_loses_no_acknowledged_id(tmp_path: Path) -> None:
    """SIGKILL right after the answer."""
    answers = []
    for _ in range(2):
        with serving(tmp_path) as server:
            async with client(server) as http:
                answers.append(await http.post("/", headers=KEY))
            server.stop(9)

    assert len(ids(answers)) == 1


@pytest.mark.slow
async def test_a_websocket_says_how_its_id_came_about(tmp_path: Path) -> None:
    """On the handshake; the handler finds the id in its scope."""
    with serving(tmp_path) as server:
        async with connect(server.ws_url, additional_headers=KEY) as socket:
            session_id = await socket.recv()
            assert socket.response is not None
            status = socket.response.headers["x-sessionguard-status"]
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.ws_url, additional_headers={"x-openclaw-session-key": "cron:x"})

    assert status == "new"
    assert [record.session_id for _, record in await rows(tmp_path)] == [session_id]
    assert refused.value.response.status_code == 400


@pytest.mark.slow
async def test_a_stream_is_timely(tmp_path: Path) -> None:
    """The first chunk arrives although the second waits for a request that is sent only then."""
    with serving(tmp_path) as server:
        async with client(server) as http, http.stream("GET", "/stream", headers=KEY) as response:
            chunks = response.aiter_raw()
            first = await anext(chunks)
            await http.get("/release")
            second = await anext(chunks)

    assert (first, second) == (b"first", b"second")


async def test_a_store_that_cannot_work_ends_the_server_with_its_cure(tmp_path: Path) -> None:
    """Not a traceback per request: the start fails, and says what to do."""
    (tmp_path / "sessions").mkdir(mode=0o755)
    with pytest.raises(RuntimeError, match="the server ended") as ended:
        serving(tmp_path).__enter__()

    assert f"chmod 700 {tmp_path / 'sessions'}" in str(ended.value)
    assert "Traceback" not in str(ended.value)


def test_a_wrong_setting_ends_the_server_with_its_name_and_its_cure(tmp_path: Path) -> None:
    """The last line says it all."""
    command = [sys.executable, "-m", "uvicorn", "bare_app:app", "--app-dir", str(APPS), "--port", str(free_port())]
    env = {"SESSIONGUARD_STOER": "memory:"}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    last_line = run.stderr.strip().splitlines()[-1]

    assert run.returncode != 0
    assert "ConfigurationError" in last_line
    assert "did you mean SESSIONGUARD_STORE" in last_line
