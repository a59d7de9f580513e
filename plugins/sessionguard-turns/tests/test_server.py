"""The gate on real sockets: uvicorn as a process, the openai client, real WebSockets, a gateway behind the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from live import LiveServer, free_port, running, uvicorn
from turns_journal import Journal
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

HERE = Path(__file__).parent
KEY = {"x-openclaw-session-key": "final-1779465436"}
START = ("--factory",)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    path = tmp_path / "journal"
    monkeypatch.setenv("APP_JOURNAL", str(path))
    return Journal(path)


@pytest.fixture
def server(tmp_path: Path, journal: Journal, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """The gated agent; a test can ask for a mode."""
    environment = {"SESSIONGUARD_STORE": "memory:", "SESSIONGUARD_TURNS_MODE": getattr(request, "param", "wait")}
    with uvicorn("turns_served:create_agent", tmp_path, *START, app_dir=HERE, env=environment) as server:
        yield server


@pytest.mark.parametrize("server", ["reject"], indirect=True)
async def test_the_openai_client_comes_again_by_itself(server: LiveServer, journal: Journal) -> None:
    """409 and `Retry-After` are all it needs; its user never sees that the conversation was busy."""
    async with httpx.AsyncClient(base_url=server.url, headers=KEY, timeout=30) as client:
        long_turn = asyncio.ensure_future(client.post("/v1/long?1500"))
        await asyncio.to_thread(journal.has, "begins long")
        refused = await client.post("/v1/short")
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", default_headers=KEY) as user:
            completion = await user.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        await long_turn

    assert 409 == refused.status_code
    assert "1" == completion.id
    assert ["begins long", "ends long", "begins completions", "ends completions"] == journal.after("ends completions")


async def test_a_client_that_hangs_up_while_it_waits_is_never_served(server: LiveServer, journal: Journal) -> None:
    """The server says so, and the place is given up."""
    async with httpx.AsyncClient(base_url=server.url, headers=KEY, timeout=30) as client:
        long_turn = asyncio.ensure_future(client.post("/long?600"))
        await asyncio.to_thread(journal.has, "begins long")
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/gone", content=b"body", timeout=0.1)
        last = await client.post("/last")
        await long_turn

    assert 200 == last.status_code
    assert ["begins long", "ends long", "begins last", "ends last"] == journal.after("ends last")
    assert "Traceback" not in server.output


async def test_a_large_upload_that_waited_arrives_whole(tmp_path: Path, journal: Journal) -> None:
    """Two megabytes, of which 64 KiB were read ahead."""
    body = bytes(range(256)) * 8192
    environment = {"SESSIONGUARD_STORE": "memory:"}
    with uvicorn("turns_upload:app", tmp_path, app_dir=HERE, env=environment) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=KEY, timeout=30) as client:
            first = asyncio.ensure_future(client.post("/first", content=b"x"))
            await asyncio.to_thread(journal.has, "begins /first")
            second = await client.post("/second", content=body)
            await first

    assert body == second.content
    assert int(second.headers["x-sessionguard-wait-ms"]) > 50


@pytest.mark.parametrize("server", ["reject"], indirect=True)
def test_a_websocket_of_a_busy_conversation_is_refused_in_the_handshake(server: LiveServer, journal: Journal) -> None:
    """With the status and the header of an HTTP answer."""
    with connect(f"{server.ws_url}/first", additional_headers=KEY) as first:
        journal.has("begins first")
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.ws_url}/second", additional_headers=KEY)
        first.send("bye")
    journal.has("ends first")

    assert 409 == refused.value.response.status_code
    assert "retry-after" in refused.value.response.headers


def test_a_websocket_of_a_busy_conversation_never_reaches_the_upstream_of_a_proxy(
    tmp_path: Path, journal: Journal
) -> None:
    """The one that has its turn goes through, and the next gets 409 from the gate in front of the proxy."""
    with uvicorn("turns_app:agent", tmp_path, app_dir=HERE) as upstream:
        environment = {"SESSIONGUARD_STORE": "memory:", "SESSIONGUARD_TURNS_MODE": "reject", "UPSTREAM": upstream.url}
        with uvicorn("turns_served:create_proxy", tmp_path, *START, app_dir=HERE, env=environment) as proxy:
            with connect(f"{proxy.ws_url}/first", additional_headers=KEY) as first:
                journal.has("begins first")
                with pytest.raises(InvalidStatus) as refused:
                    connect(f"{proxy.ws_url}/second", additional_headers=KEY)
                first.send("bye")
            journal.has("ends first")

    assert 409 == refused.value.response.status_code
    assert ["begins first", "ends first"] == journal.after("ends first")


def test_a_websocket_that_leaves_while_it_waits_does_no_harm(server: LiveServer, journal: Journal) -> None:
    """The handshake was never answered; the next one is."""
    with connect(f"{server.ws_url}/first", additional_headers=KEY) as first:
        journal.has("begins first")
        with pytest.raises(TimeoutError):
            connect(f"{server.ws_url}/gone", additional_headers=KEY, open_timeout=0.3)
        first.send("bye")
    with connect(f"{server.ws_url}/last", additional_headers=KEY) as last:
        last.send("bye")
    journal.has("ends last")

    assert ["begins first", "ends first", "begins last", "ends last"] == journal.after("ends last")
    assert "Traceback" not in server.output


ROUNDS, TOGETHER = 10, 5
EXAMPLE = HERE.parents[2] / "examples" / "standalone_proxy.py"


@contextlib.contextmanager
def standalone_proxy(upstream: LiveServer, tmp_path: Path, **environment: str) -> Iterator[LiveServer]:
    """The example, as anybody would start it; the plugin is installed."""
    port = free_port()
    command = [sys.executable, str(EXAMPLE), "--upstream", upstream.url, "--port", str(port), "--store", "memory:"]
    with running(command, port, tmp_path, environment) as proxy:
        yield proxy


async def sessions_of_a_gateway(tmp_path: Path, **environment: str) -> list[int]:
    """How many sessions a gateway behind the proxy made of each of some conversations, each opened by many at once."""
    with (
        uvicorn("turns_app:gateway", tmp_path, app_dir=HERE) as upstream,
        standalone_proxy(upstream, tmp_path, **environment) as proxy,
    ):
        async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
            keys = [{"x-openclaw-session-key": f"chat-{number}"} for number in range(ROUNDS)]
            answers = await asyncio.gather(*(client.post("/", headers=key) for key in keys for _ in range(TOGETHER)))
    bodies = [answer.text for answer in answers]
    return [len(set(bodies[first : first + TOGETHER])) for first in range(0, len(bodies), TOGETHER)]


async def test_a_gateway_that_resolves_keys_by_itself_never_forks_behind_the_standalone_proxy(
    tmp_path: Path, journal: Journal
) -> None:
    """It looks, thinks and then mints, and every time the first one is alone with that: `first` is the default."""
    assert [1] * ROUNDS == await sessions_of_a_gateway(tmp_path)


async def test_the_same_gateway_forks_without_the_gate(tmp_path: Path, journal: Journal) -> None:
    """So the test above can fail; and a variable wins over the default."""
    assert max(await sessions_of_a_gateway(tmp_path, SESSIONGUARD_TURNS_MODE="off")) > 1


async def test_a_stream_of_the_first_turn_is_not_delayed_by_one_byte(tmp_path: Path, journal: Journal) -> None:
    """Head and event are with the client while the agent holds the rest back, and while others are held for it."""
    with (
        uvicorn("turns_app:gateway", tmp_path, app_dir=HERE) as upstream,
        standalone_proxy(upstream, tmp_path) as proxy,
    ):
        async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
            held = {**KEY, "x-hold": str(tmp_path / "go on")}
            async with client.stream("POST", "/", headers=held) as response:
                second = asyncio.ensure_future(client.post("/", headers=KEY))
                parts = response.aiter_raw()
                first = await asyncio.wait_for(anext(parts), 20)
                (tmp_path / "go on").touch()
                rest = b"".join([part async for part in parts])
            answer = (await second).content

    assert first.startswith(b"data: ")
    assert first.endswith(b"\n\n")
    assert b"data: [DONE]\n\n" == rest
    assert answer == first + rest
