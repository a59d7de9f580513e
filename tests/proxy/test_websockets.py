"""WebSockets pass the proxy as if it were not there: handshakes, messages, refusals and endings, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from live import LiveServer, free_port, running
from operators import COMMAND
from proxy.ws_gateway import gateway, refusing
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol

from sessionguard import SessionGuard
from sessionguard.proxy import ReverseProxy, websocket

Serve = Callable[..., Awaitable[str]]
Start = Callable[..., contextlib.AbstractContextManager[LiveServer]]
PATIENCE = 20.0
MEGABYTE = 1_048_576
KEY = "secret-session-key"
KEYED = {"x-openclaw-session-key": KEY}
EXTENDED = {"extensions": {"websocket.http.response": {}}}


def ws(url: str) -> str:
    return url.replace("http", "ws", 1)


def scope(**changes: Any) -> dict[str, Any]:
    """Return the scope of a handshake, for what no server here would send."""
    plain = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "scheme": "ws"}
    return {**plain, **changes}


class DirectClient:
    """The client's end of a direct call; it stays until it leaves."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self._connects = True

    async def receive(self) -> dict[str, Any]:
        if self._connects:
            self._connects = False
            return {"type": "websocket.connect"}
        await self.left.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def call(self, proxy: ReverseProxy, **changes: Any) -> list[dict[str, Any]]:
        await asyncio.wait_for(proxy(scope(**changes), self.receive, self.send), PATIENCE)
        return self.sent


async def refused(url: str, **options: Any) -> Response:
    """Return what a handshake was answered with instead."""
    with pytest.raises(InvalidStatus) as answer:
        await connect(ws(url), proxy=None, **options)
    return answer.value.response


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Return what the client was told at the end."""
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(client.recv(), PATIENCE)
    return client.close_code or 0, client.close_reason or ""


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the proxy itself has logged of the upstream."""
    records = [record for record in caplog.records if record.name == "sessionguard" and record.levelno > logging.INFO]
    return [record.getMessage() for record in records if "upstream" in record.getMessage()]


async def test_messages_pass_both_ways_as_they_are(serve: Serve) -> None:
    """Text stays text, bytes stay bytes, in order, also when they are empty."""
    said = ["first", b"second", "", b"", "käse \N{CHEESE WEDGE}", bytes(range(256))]
    async with gateway() as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None) as client:
            for message in said:
                await client.send(message)
            heard = [await client.recv() for _ in said]

    assert heard == said


async def test_a_message_of_many_megabytes_passes_both_ways(serve: Serve) -> None:
    """The limits of the libraries, a megabyte, are not those of the proxy."""
    async with gateway(max_size=None) as upstream:
        url = await serve(ReverseProxy(upstream.url), ws_max_size=websocket.MOST_BYTES)
        async with connect(ws(url), proxy=None, max_size=None, compression=None) as client:
            await client.send(bytes(20 * MEGABYTE))

            assert await client.recv() == bytes(20 * MEGABYTE)


@pytest.mark.parametrize("target", ["/", "/a//b/", "/a%2Fb/caf%C3%A9?a=1&a=2&b=%20+'d'|e", "/x?q=a?b=/c;d", "//host/x"])
async def test_path_and_query_are_kept_byte_for_byte(serve: Serve, target: str) -> None:
    """Below the base path of the upstream."""
    async with gateway() as upstream:
        url = await serve(ReverseProxy(f"{upstream.url}/base"))
        async with connect(ws(url) + target, proxy=None):
            pass

    assert [request.path for request in upstream.requests] == [f"/base{target}"]


async def test_the_clients_headers_reach_the_upstream(serve: Serve) -> None:
    """But not those of the client's own handshake; a local client stays a local one."""
    sent = {"authorization": "Bearer t", "cookie": "a=1", "x-mixed": "Case"}
    async with gateway() as upstream:
        url = await serve(ReverseProxy(upstream.url))
        agent, origin = "mine", Origin("https://app.example")
        async with connect(
            ws(url), proxy=None, additional_headers=sent, origin=origin, user_agent_header=agent
        ) as client:
            assert client.request is not None
            handshake = client.request.headers["sec-websocket-key"]

    expected = {**sent, "origin": origin, "user-agent": agent, "host": upstream.url[7:]}
    assert {name: upstream.header(name) for name in expected} == expected
    assert not [name for name, _ in upstream.requests[0].headers.raw_items() if name.lower().startswith("x-forwarded")]
    assert upstream.header("sec-websocket-key") != handshake


async def test_what_belongs_to_the_clients_connection_stays_there() -> None:
    """Hop-by-hop headers, and those a client names as such."""
    names = (b"x-hop", b"te", b"keep-alive", b"proxy-authorization", b"x-kept")
    async with gateway(process_request=refusing(403, "")) as upstream:
        hop = [(b"connection", b"upgrade, x-hop"), *((name, b"1") for name in names)]
        await DirectClient().call(ReverseProxy(upstream.url), headers=hop)

    assert [name.decode() for name in names if upstream.header(name.decode()) is not None] == ["x-kept"]


async def test_the_upstream_finds_the_guards_id_and_not_the_clients(serve: Serve) -> None:
    """A second WebSocket and a request of the same conversation have the same."""
    async with gateway() as upstream:
        url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))
        ids = []
        for _ in range(2):
            async with connect(ws(url), proxy=None, additional_headers={**KEYED, "x-openclaw-session-id": "forged"}):
                ids.append(upstream.header("x-openclaw-session-id"))

    assert ids[0] == ids[1] not in (None, "forged")
    assert upstream.header("x-openclaw-session-key") == KEY


async def test_the_upstreams_headers_reach_the_client_and_not_what_its_own_guard_said(serve: Serve) -> None:
    """Cookies are set by the answer to a handshake, too."""

    def answer(connection: ServerConnection, request: Any, response: Response) -> None:
        response.headers["set-cookie"] = "a=1"
        response.headers["set-cookie"] = "b=2"
        response.headers["x-sessionguard-status"] = "existing"

    async with gateway(process_response=answer) as upstream:
        url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))
        async with connect(ws(url), proxy=None, additional_headers=KEYED) as client:
            assert client.response is not None
            headers = client.response.headers

    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert headers.get_all("x-sessionguard-status") == ["new"]


@pytest.mark.parametrize(("known", "chosen"), [(["chat", "json"], "json"), (None, None)])
async def test_the_upstream_chooses_among_the_clients_subprotocols(
    serve: Serve, known: list[str] | None, chosen: str | None
) -> None:
    """Or none of them."""
    offered = [Subprotocol("json"), Subprotocol("xml")]
    async with gateway(subprotocols=known) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None, subprotocols=offered) as client:
            assert client.subprotocol == chosen

    assert upstream.header("sec-websocket-protocol") == "json, xml"


async def test_what_the_upstream_answers_instead_of_accepting_is_the_answer(serve: Serve) -> None:
    """Status, headers and body."""
    async with gateway(process_request=refusing(401, "go away", www_authenticate="Bearer")) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        response = await refused(url)

    assert (response.status_code, response.body) == (401, b"go away")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_redirect_is_for_the_client_to_follow() -> None:
    """The proxy knows one upstream."""
    async with gateway(process_request=refusing(302, "", location="/elsewhere")) as upstream:
        start, _ = await DirectClient().call(ReverseProxy(upstream.url), **EXTENDED)

    assert (start["status"], dict(start["headers"])[b"location"]) == (302, b"/elsewhere")
    assert len(upstream.requests) == 1


async def test_a_server_that_cannot_answer_a_handshake_closes_it() -> None:
    """Which it makes 403 of."""
    async with gateway(process_request=refusing(401, "go away")) as upstream:
        sent = await DirectClient().call(ReverseProxy(upstream.url))

    assert sent == [{"type": "websocket.close"}]


async def test_an_upstream_that_is_down_is_a_502_before_anything_was_accepted(serve: Serve) -> None:
    """In the envelope of the other errors."""
    url = await serve(ReverseProxy(f"http://127.0.0.1:{free_port()}"))

    response = await refused(url)

    assert (response.status_code, b"upstream_unreachable" in response.body) == (502, True)


@pytest.mark.parametrize(
    "answer", [b"", f"HTTP/1.1 200 {KEY}\r\n{KEY}\r\n\r\n".encode(), b"HTTP/1.1 101 x\r\n\r\n", b"SSH-2.0-x\r\n\r\n"]
)
async def test_an_upstream_that_speaks_something_else_is_a_502_and_quoted_nowhere(
    serve: Serve, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """One clear line is logged."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        url = await serve(ReverseProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        response = await refused(url, additional_headers=KEYED)

    assert (response.status_code, len(logged(caplog))) == (502, 1)
    assert KEY not in f"{response.body!r} {caplog.text}"


async def test_an_upstream_that_does_not_answer_the_handshake_is_a_504(serve: Serve) -> None:
    """After the time a response may take to begin."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = await serve(ReverseProxy(f"http://127.0.0.1:{deaf.getsockname()[1]}", first_byte_timeout=0.2))
        response = await refused(url)

    assert (response.status_code, b"upstream_timeout" in response.body) == (504, True)


async def test_an_upstream_that_does_not_accept_is_a_504(serve: Serve) -> None:
    """A full backlog leaves a connection pending for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as queue:
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = await serve(ReverseProxy(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=0.2))
        response = await refused(url)

    assert response.status_code == 504


CLOSES = [(1000, "bye"), (1001, ""), (1012, "restart"), (4001, "over quota")]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_the_client_closes_and_the_upstream_hears_how(serve: Serve, code: int, reason: str) -> None:
    async with gateway() as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None) as client:
            await client.close(code, reason)
        end = await upstream.ended()

    assert end == (code, reason)


@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_the_upstream_closes_and_the_client_hears_how(serve: Serve, code: int, reason: str) -> None:
    """Whatever it said before arrives before."""

    async def part(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(code, reason)

    async with gateway(part) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None) as client:
            words = await client.recv()
            end = await closed(client)

    assert (words, end) == ("last words", (code, reason))


async def test_a_close_without_a_code_is_a_normal_one() -> None:
    """Nobody may send the code that says that there was none."""
    client = DirectClient()

    async def close_plainly(connection: ServerConnection) -> None:
        connection.transport.write(b"\x88\x00")
        await connection.wait_closed()

    async with gateway(close_plainly) as upstream:
        sent = await client.call(ReverseProxy(upstream.url))

    assert sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}


async def test_an_upstream_that_vanishes_is_a_bad_gateway(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The client is told so, and the log gets one line without a key."""

    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with gateway(vanish) as upstream:
        url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))
        async with connect(ws(url), proxy=None, additional_headers=KEYED) as client:
            end = await closed(client)

    assert end == (1014, "the upstream broke off")
    assert logged(caplog) == [f"the upstream {upstream.url} broke off a WebSocket: 1014"]
    assert KEY not in caplog.text


async def test_a_message_that_is_too_long_ends_the_conversation_with_the_word_for_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both sides."""
    monkeypatch.setattr(websocket, "MOST_BYTES", 1000)

    async def babble(connection: ServerConnection) -> None:
        await connection.send(bytes(1001))
        await connection.wait_closed()

    async with gateway(babble) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None) as client:
            code, _ = await closed(client)
        end = await upstream.ended()

    assert (code, end[0]) == (1009, 1009)


async def test_a_client_that_vanishes_has_gone_away(serve: Serve) -> None:
    async with gateway() as upstream:
        url = await serve(ReverseProxy(upstream.url))
        client = await connect(ws(url), proxy=None)
        client.transport.abort()
        code, _ = await upstream.ended()
        await client.wait_closed()

    assert code == 1001


async def test_a_client_that_cannot_be_reached_any_more_has_gone_away() -> None:
    """The specification lets a server raise OSError where there is nobody to send to."""
    client = DirectClient()

    async def fail(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            raise OSError("gone")

    async with gateway() as upstream:
        proxy = ReverseProxy(upstream.url)
        serving = asyncio.create_task(proxy(scope(), client.receive, fail))
        await asyncio.wait_for(upstream.arrived.wait(), PATIENCE)
        await upstream.connections[-1].send("hello")
        await asyncio.wait_for(serving, PATIENCE)

        assert (await upstream.ended())[0] == 1001


async def test_a_client_that_leaves_during_the_handshake_ends_it() -> None:
    """Though the upstream has not said yet whether it would have accepted."""
    client, gone = DirectClient(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        client.left.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
        sent = await client.call(ReverseProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        await asyncio.wait_for(gone.wait(), PATIENCE)

    assert sent == []


async def stuck(count: Callable[[], int]) -> int:
    """Return the count when it has begun to grow and has stopped."""
    before = -1
    while before != (before := count()) or before < 1:
        await asyncio.sleep(0.2)
    return before


@pytest.mark.slow
async def test_a_client_that_reads_slowly_slows_the_upstream(serve: Serve) -> None:
    """A few messages are on their way; the upstream cannot send the rest before the client has taken those."""
    sent = 0

    async def pour(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(200):
            await connection.send(bytes(MEGABYTE))
            sent += 1
        await connection.close()

    async with gateway(pour, compression=None) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None, max_size=None, compression=None, max_queue=1) as client:
            before = await stuck(lambda: sent)
            taken = [len(message) async for message in client]

    assert 1 <= before < 100
    assert taken == [MEGABYTE] * 200


@pytest.mark.slow
async def test_an_upstream_that_reads_slowly_slows_the_client(serve: Serve) -> None:
    """In the other direction, too."""
    sent, go, taken = 0, asyncio.Event(), 0

    async def take(connection: ServerConnection) -> None:
        nonlocal taken
        await go.wait()
        async for _ in connection:
            taken += 1

    async with gateway(take, compression=None, max_size=None, max_queue=1) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        async with connect(ws(url), proxy=None, compression=None) as client:

            async def pour() -> None:
                nonlocal sent
                for _ in range(200):
                    await client.send(bytes(MEGABYTE))
                    sent += 1

            pouring = asyncio.create_task(pour())
            before = await stuck(lambda: sent)
            go.set()
            await pouring
        await upstream.ended()

    assert 1 <= before < 100
    assert taken == 200


@pytest.mark.parametrize("ending", ["client", "upstream", "refusal", "abort", "cancellation"])
async def test_nothing_is_left_of_a_websocket(ending: str) -> None:
    """No task and no connection, however it ended."""

    async def serve_upstream(connection: ServerConnection) -> None:
        if ending == "upstream":
            await connection.close()
        elif ending == "abort":
            connection.transport.abort()
        await connection.wait_closed()

    refusal = {"process_request": refusing(403, "no")} if ending == "refusal" else {}
    async with gateway(serve_upstream, **refusal) as upstream:
        before, client = asyncio.all_tasks(), DirectClient()
        serving = asyncio.create_task(ReverseProxy(upstream.url)(scope(**EXTENDED), client.receive, client.send))
        await asyncio.wait_for(upstream.arrived.wait(), PATIENCE)
        if ending == "client":
            client.left.set()
        if ending == "cancellation":
            serving.cancel()
        await asyncio.wait([serving], timeout=PATIENCE)
        await upstream.ended()
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)

        assert serving.done()


async def test_an_upstream_behind_tls_is_reached(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one whose certificate nobody vouches for is not."""
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(own)
    async with gateway(scheme="https", ssl=own) as upstream:
        url = await serve(ReverseProxy(upstream.url))
        distrusted = await refused(url)
        monkeypatch.setattr(websocket, "_tls", lambda: trusting)
        async with connect(ws(url), proxy=None) as client:
            await client.send("hello")

            assert await client.recv() == "hello"

    assert distrusted.status_code == 502


def command_line(upstream: str, tmp_path: Path, *options: str) -> contextlib.AbstractContextManager[LiveServer]:
    port = free_port()
    return running([str(COMMAND), "proxy", upstream, "--port", str(port), *options], port, tmp_path)


@pytest.fixture(params=["example", "command"])
def proxy_process(request: pytest.FixtureRequest, standalone_proxy: Start) -> Start:
    """Either of the ways to run the proxy."""
    return standalone_proxy if request.param == "example" else command_line


@pytest.mark.slow
async def test_a_gateway_with_both_on_one_port_has_one_id_for_both(
    proxy_process: Start, client: httpx.AsyncClient, tmp_path: Path, store_url: str
) -> None:
    """The conversation that began over HTTP goes on over a WebSocket, and the other way round."""

    def answer(connection: ServerConnection, request: Any) -> Response | None:
        if request.path == "/http":
            return connection.respond(200, str(request.headers.get("x-openclaw-session-id")))
        return None

    async with gateway(process_request=answer) as upstream:
        with proxy_process(upstream.url, tmp_path, "--store", store_url) as proxy:
            ids = {}
            for first in ("http", "ws"):
                key = {"x-openclaw-session-key": first}
                answers = [(await client.get(f"{proxy.url}/http", headers=key)).text] if first == "http" else []
                async with connect(ws(proxy.url), proxy=None, additional_headers=key) as socket_:
                    await socket_.send("hello")
                    assert await socket_.recv() == "hello"
                    answers.append(str(upstream.header("x-openclaw-session-id")))
                answers.append((await client.get(f"{proxy.url}/http", headers=key)).text)
                ids[first] = answers

    assert {len(set(answers)) for answers in ids.values()} == {1}
    assert ids["http"][0] != ids["ws"][0] != "None"


@pytest.mark.slow
async def test_a_server_that_ends_says_so_on_both_sides(proxy_process: Start, tmp_path: Path, store_url: str) -> None:
    """The client may connect anew, the upstream knows that nobody is there, and no error is logged."""
    async with gateway() as upstream:
        with proxy_process(upstream.url, tmp_path, "--store", store_url) as proxy:
            async with connect(ws(proxy.url), proxy=None) as client:
                proxy.process.send_signal(signal.SIGTERM)
                code, _ = await closed(client)
            end = await upstream.ended()
            await asyncio.to_thread(proxy.process.wait, 20)

    assert (code, end[0]) == (1012, 1012)
    assert "Traceback" not in proxy.output and "ERROR" not in proxy.output
