"""The gate on real sockets: uvicorn as a process, the openai client, real WebSockets, a gateway behind the proxy."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from isolation import environment_of
from live import LiveServer, free_port, running, uvicorn
from turns_fleet import Hold, present, until
from turns_journal import Journal
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[2] / "examples" / "standalone_proxy.py"
ROUNDS, TOGETHER = 10, 5

pytestmark = pytest.mark.slow
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The gated agent for all tests; below /v1 and /reject a conversation that is busy is refused."""
    directory = tmp_path_factory.mktemp("server")
    environment = {"SESSIONGUARD_STORE": "memory:", "SESSIONGUARD_TURNS_PATHS": "/v1/*=reject,/reject/*=reject"}
    environment |= {"APP_JOURNAL": str(directory / "journal")}
    with (
        environment_of("turns"),
        uvicorn("turns_served:create_agent", directory, "--factory", app_dir=HERE, env=environment) as server,
    ):
        server.journal = directory / "journal"  # type: ignore[attr-defined]
        yield server


@pytest.fixture
def key() -> dict[str, str]:
    """The header of a conversation that no other test has."""
    return {"x-openclaw-session-key": f"chat-{next(_numbers)}"}


@pytest.fixture
def journal(server: LiveServer, key: dict[str, str]) -> Journal:
    """The events of that conversation."""
    return Journal(server.journal, *key.values())  # type: ignore[attr-defined]


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    return Hold(tmp_path / "go on")


@pytest.fixture
def log(server: LiveServer) -> Iterator[None]:
    """Fail if the server reports an error during the test."""
    before = len(server.output)
    yield
    assert "Traceback" not in server.output[before:]


async def test_the_openai_client_comes_again_by_itself(
    server: LiveServer, journal: Journal, key: dict[str, str], hold: Hold
) -> None:
    """409 and `Retry-After` are all it needs; its user never sees that the conversation was busy."""
    before = server.output.count(" 409 ")

    async def refused() -> bool:
        return server.output.count(" 409 ") > before

    async with httpx.AsyncClient(base_url=server.url, headers=key, timeout=60) as client:
        long_turn = asyncio.ensure_future(client.post("/v1/long", headers=hold.headers))
        await asyncio.to_thread(journal.has, "begins long")
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", default_headers=key) as user:
            asking = user.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            asked = asyncio.ensure_future(asking)
            await until(refused)
            hold.release()
            await long_turn
            completion = await asked

    assert "1" == completion.id
    assert ["begins long", "ends long", "begins completions", "ends completions"] == journal.after("ends completions")


@pytest.mark.usefixtures("log")
async def test_a_client_that_hangs_up_while_it_waits_is_never_served(
    server: LiveServer, journal: Journal, key: dict[str, str], hold: Hold
) -> None:
    """The server says so, and the place is given up."""
    async with httpx.AsyncClient(base_url=server.url, headers=key, timeout=60) as client:
        long_turn = asyncio.ensure_future(client.post("/long", headers=hold.headers))
        await asyncio.to_thread(journal.has, "begins long")
        gone = asyncio.ensure_future(client.post("/gone", content=b"body"))
        await present(server, 2)
        gone.cancel()
        await present(server, 1)
        last = asyncio.ensure_future(client.post("/last"))
        await present(server, 2)
        hold.release()
        answers = await asyncio.gather(long_turn, last)

    assert [200, 200] == [answer.status_code for answer in answers]
    assert ["begins long", "ends long", "begins last", "ends last"] == journal.after("ends last")


async def test_a_large_upload_that_waited_arrives_whole(
    server: LiveServer, journal: Journal, key: dict[str, str], hold: Hold
) -> None:
    """Two megabytes, of which 64 KiB were read ahead."""
    body = bytes(range(256)) * 8192
    async with httpx.AsyncClient(base_url=server.url, headers=key, timeout=60) as client:
        first = asyncio.ensure_future(client.post("/first", headers=hold.headers))
        await asyncio.to_thread(journal.has, "begins first")
        second = asyncio.ensure_future(client.post("/echo", content=body))
        await present(server, 2)
        hold.release()
        await first
        echoed = (await second).content

    assert body == echoed


@pytest.mark.usefixtures("log")
def test_a_websocket_of_a_busy_conversation_is_refused_in_the_handshake(
    server: LiveServer, journal: Journal, key: dict[str, str]
) -> None:
    """With the status and the header of an HTTP answer."""
    with connect(f"{server.ws_url}/reject/first", additional_headers=key) as first:
        journal.has("begins first")
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.ws_url}/reject/second", additional_headers=key)
        first.send("bye")
    journal.has("ends first")

    assert 409 == refused.value.response.status_code
    assert "retry-after" in refused.value.response.headers


@pytest.mark.usefixtures("log")
def test_a_websocket_that_leaves_while_it_waits_does_no_harm(
    server: LiveServer, journal: Journal, key: dict[str, str]
) -> None:
    """The handshake was never answered; the next one is."""
    with connect(f"{server.ws_url}/first", additional_headers=key) as first:
        journal.has("begins first")
        with pytest.raises(TimeoutError):
            connect(f"{server.ws_url}/gone", additional_headers=key, open_timeout=0.3)
        asyncio.run(present(server, 1))
        first.send("bye")
    with connect(f"{server.ws_url}/last", additional_headers=key, open_timeout=60) as last:
        last.send("bye")
    journal.has("ends last")

    assert ["begins first", "ends first", "begins last", "ends last"] == journal.after("ends last")


def test_a_websocket_of_a_busy_conversation_never_reaches_the_upstream_of_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]
) -> None:
    """The one that has its turn goes through, and the next gets 409 from the gate in front of the proxy."""
    journal = Journal(tmp_path / "journal")
    monkeypatch.setenv("APP_JOURNAL", str(journal.path))
    with uvicorn("turns_app:agent", tmp_path, app_dir=HERE) as upstream:
        environment = {"SESSIONGUARD_STORE": "memory:", "SESSIONGUARD_TURNS_MODE": "reject", "UPSTREAM": upstream.url}
        with uvicorn("turns_served:create_proxy", tmp_path, "--factory", app_dir=HERE, env=environment) as proxy:
            with connect(f"{proxy.ws_url}/first", additional_headers=key) as first:
                journal.has("begins first")
                with pytest.raises(InvalidStatus) as refused:
                    connect(f"{proxy.ws_url}/second", additional_headers=key)
                first.send("bye")
            journal.has("ends first")

    assert 409 == refused.value.response.status_code
    assert ["begins first", "ends first"] == journal.after("ends first")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The example, as anybody would start it, in front of a gateway; the plugin is installed."""
    directory = tmp_path_factory.mktemp("proxy")
    with environment_of("turns"), uvicorn("turns_app:gateway", directory, app_dir=HERE) as upstream:
        port = free_port()
        command = [sys.executable, str(EXAMPLE), "--upstream", upstream.url, "--port", str(port), "--store", "memory:"]
        with running(command, port, directory) as proxy:
            yield proxy


async def test_a_gateway_that_resolves_keys_by_itself_never_forks_behind_the_standalone_proxy(
    proxy: LiveServer,
) -> None:
    """It looks, thinks and then mints, and every time the first one is alone with that: `first` is the default.

    Without the gate it forks, as `test_processes.py` shows.
    """
    async with httpx.AsyncClient(base_url=proxy.url, timeout=60) as client:
        keys = [{"x-openclaw-session-key": f"opened-by-many-{number}"} for number in range(ROUNDS)]
        answers = await asyncio.gather(*(client.post("/", headers=key) for key in keys for _ in range(TOGETHER)))
    bodies = [answer.text for answer in answers]

    assert [1] * ROUNDS == [len({*bodies[first : first + TOGETHER]}) for first in range(0, len(bodies), TOGETHER)]


async def test_a_stream_of_the_first_turn_is_not_delayed_by_one_byte(
    proxy: LiveServer, key: dict[str, str], hold: Hold
) -> None:
    """Head and event are with the client while the agent holds the rest back, and while others are held for it."""
    async with httpx.AsyncClient(base_url=proxy.url, timeout=60) as client:
        async with client.stream("POST", "/", headers={**key, **hold.headers}) as response:
            second = asyncio.ensure_future(client.post("/", headers=key))
            parts = response.aiter_raw()
            first = await asyncio.wait_for(anext(parts), 60)
            hold.release()
            rest = b"".join([part async for part in parts])
        answer = (await second).content

    assert first.startswith(b"data: ")
    assert first.endswith(b"\n\n")
    assert b"data: [DONE]\n\n" == rest
    assert answer == first + rest
