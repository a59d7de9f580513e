"""The proxy is faithful: what the client said reaches the upstream, and what the upstream said reaches the client."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import gzip
import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from live import free_port

from sessionguard import ConfigurationError, SessionGuard, hookimpl
from sessionguard.cli import proxying
from sessionguard.proxy import ReverseProxy

Serve = Callable[..., Awaitable[str]]
Upstream = Any
PATIENCE = 20.0


def http_scope(**changes: Any) -> dict[str, Any]:
    """Return the scope of a plain GET, changed."""
    plain = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    return {**plain, "client": ("127.0.0.1", 5), **changes}


async def call(app: Callable[..., Any], scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Call the application in this task, for what no server here would send; returns the messages it sent."""
    arriving = list(messages or [{"type": "http.request"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return arriving.pop(0) if arriving else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await asyncio.wait_for(app(scope, receive, send), PATIENCE)
    return sent


async def on_the_wire(url: str, *lines: str) -> bytes:
    """Send these very lines and return all that comes back."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    response = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    return response


async def test_a_request_reaches_the_upstream_and_its_answer_comes_back(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """Method, path and body go one way, status and body the other."""
    url = await serve(ReverseProxy(upstream.url))

    response = await client.put(f"{url}/things/1", content=b"hello")

    assert (200, "PUT", "/things/1", 5) == (response.status_code, *_seen(response.json()))


def _seen(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["method"], record["target"], record["size"]


TARGETS = [
    "/",
    "/a//b/",
    "/a%2Fb/%7Euser/caf%C3%A9",
    "/a%2fb",
    "/it's/a|b/{c}/^d`",
    "/a/../b/./c",
    "//host/x",
    "/?",
    "/x?a=1&a=2&b=%20+&c='d'|e",
    "/x?q=a?b=/c",
    "/x?%zz",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_path_and_query_are_kept_byte_for_byte(serve: Serve, upstream: Upstream, target: str) -> None:
    """Nothing is decoded, encoded or normalised; a `?` without a query is the server's to drop."""
    url = await serve(ReverseProxy(upstream.url))

    await on_the_wire(url, f"GET {target} HTTP/1.1", "host: x", "connection: close")

    assert target.removesuffix("?") == (await upstream.last())["target"]


MOUNTS = [
    ("", "", "/a/b", "/a/b"),
    ("/base", "", "/a/b", "/base/a/b"),
    ("/base/", "", "/", "/base/"),
    ("", "/api", "/api/a%2Fb", "/a%2Fb"),
    ("", "/api/", "/api/a", "/a"),
    ("/base", "/api/v1", "/api/v1/a//b", "/base/a//b"),
    ("", "/api", "/api", "/"),
    ("", "/café", "/caf%c3%a9/a", "/a"),
    ("", "/api", "/other/a", "/other/a"),
    ("", "", "http://elsewhere:81/a?b", "/a?b"),
    ("", "", "http://elsewhere", "/"),
    ("", "", "*", "*"),
]


@pytest.mark.parametrize(("base", "root_path", "raw_path", "target"), MOUNTS)
async def test_the_base_path_goes_in_front_and_the_mount_point_goes_away(
    upstream: Upstream, base: str, root_path: str, raw_path: str, target: str
) -> None:
    """A proxy mounted at `root_path` forwards what lies below it; a client cannot name another host."""
    scope = http_scope(method="OPTIONS", raw_path=raw_path.encode(), root_path=root_path)

    async with contextlib.aclosing(ReverseProxy(upstream.url + base)) as proxy:
        await call(proxy, scope)

    assert target == (await upstream.last())["target"]


async def test_a_server_without_raw_path_has_its_path_encoded(upstream: Upstream) -> None:
    """`raw_path` is optional; the decoded path is then encoded again."""
    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        await call(proxy, http_scope(path="/café/100%/a b", query_string=b"x=1"))

    assert "/caf%C3%A9/100%25/a%20b?x=1" == (await upstream.last())["target"]


HYGIENE = [
    ("authorization: Bearer t", [["authorization", "Bearer t"]]),
    ("cookie: a=1\r\ncookie: b=2", [["cookie", "a=1"], ["cookie", "b=2"]]),
    ("X-Mixed: Case", [["x-mixed", "Case"]]),
    ("accept-encoding: br", [["accept-encoding", "br"]]),
    ("x-openclaw-session-key: k", [["x-openclaw-session-key", "k"]]),
    ("x-hop: 1\r\nx-end: 2\r\nconnection: keep-alive , X-Hop", [["x-end", "2"]]),
    ("x-empty:\r\nconnection: x-empty", []),
    ("keep-alive: timeout=5", []),
    ("proxy-authorization: Basic x", []),
    ("proxy-connection: keep-alive", []),
    ("te: trailers", []),
    ("trailer: x-sum", []),
    ("transfer_encoding: chunked", []),
    ("upgrade: h2c", []),
    ("expect: 100-continue", []),
]


@pytest.mark.parametrize(("lines", "forwarded"), HYGIENE)
async def test_end_to_end_headers_are_forwarded_and_nothing_is_added(
    serve: Serve, upstream: Upstream, lines: str, forwarded: list[list[str]]
) -> None:
    """Hop-by-hop headers end here, and no user-agent is made up."""
    url = await serve(ReverseProxy(upstream.url), proxy_headers=False, ws="none")

    await on_the_wire(url, "GET / HTTP/1.1", "host: public.example", *lines.split("\r\n"), "connection: close")

    host = upstream.url.removeprefix("http://")
    assert [["host", host], *forwarded] == (await upstream.last())["headers"]


HOST = [["x-forwarded-host", "public.example"]]
HTTP, HTTPS = [["x-forwarded-proto", "http"]], [["x-forwarded-proto", "https"]]
LOCAL = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]
REMOTE = ["203.0.113.9", "10.0.0.7", "2001:db8::1", "::ffff:203.0.113.9", "localhost", ""]

FORWARDED = [
    *((address, {}, []) for address in LOCAL),
    *((address, {}, [["x-forwarded-for", address or "unknown"], *HOST, *HTTP]) for address in REMOTE),
    # A reverse proxy on this host says for whom it asks.
    (
        "127.0.0.1",
        {"X-Forwarded-For": "203.0.113.9", "x-forwarded-proto": "https", "x-forwarded-port": "443"},
        [["x-forwarded-for", "203.0.113.9, 127.0.0.1"], *HTTPS, ["x-forwarded-port", "443"], *HOST],
    ),
    (
        "::1",
        {"x-forwarded-host": "chat.example", "x-forwarded-for": "203.0.113.9, 10.1.1.1"},
        [["x-forwarded-for", "203.0.113.9, 10.1.1.1, ::1"], ["x-forwarded-host", "chat.example"], *HTTP],
    ),
    (
        "127.0.0.1",
        {"forwarded": "for=203.0.113.9"},
        [["x-forwarded-for", "unknown, 127.0.0.1"], ["forwarded", "for=203.0.113.9"], *HOST, *HTTP],
    ),
    # A remote client cannot pass for another, nor for a local one, in any spelling.
    *(
        ("203.0.113.9", {name: "127.0.0.1"}, [["x-forwarded-for", "203.0.113.9"], *HOST, *HTTP])
        for name in (
            "x-forwarded-for",
            "X_Forwarded_For",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-server",
        )
    ),
    *(
        ("", {name: "127.0.0.1"}, [["x-forwarded-for", "unknown"], *HOST, *HTTP])
        for name in ("forwarded", "x-real-ip", "X-Real-IP")
    ),
]


@pytest.mark.parametrize(("address", "sent", "expected"), FORWARDED)
async def test_a_remote_client_never_looks_local_and_a_local_one_never_remote(
    upstream: Upstream, address: str, sent: dict[str, str], expected: list[list[str]]
) -> None:
    """By the peer of the socket; an unknown peer counts as remote."""
    headers = [(b"host", b"public.example"), *((name.encode(), value.encode()) for name, value in sent.items())]
    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        await call(proxy, http_scope(headers=headers, client=(address, 5) if address else None))

    assert expected == (await upstream.last())["headers"][1:]


async def test_the_scheme_of_a_remote_client_is_told(upstream: Upstream) -> None:
    """It is the one that the server saw."""
    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        await call(proxy, http_scope(client=("203.0.113.9", 5), scheme="https"))

    assert ["x-forwarded-proto", "https"] in (await upstream.last())["headers"]


FORWARDED_KEYS = [
    ("as-sent", {"x-openclaw-session-key": "My-Chat"}, ["My-Chat"]),
    ("canonical", {"x-openclaw-session-key": "My-Chat"}, ["agent:main:my-chat"]),
    ("canonical", {"X-OpenClaw-Session-Key": "k", "x-openclaw-agent-id": "Work"}, ["agent:work:k"]),
    ("canonical", {"x-openclaw-session-key": "agent:main:k"}, ["agent:main:k"]),
    ("canonical", {}, []),
]


@pytest.mark.parametrize(("forward_key", "sent", "expected"), FORWARDED_KEYS)
async def test_the_upstream_gets_the_key_as_it_was_sent_or_in_its_canonical_form(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient, forward_key: str, sent: dict[str, str], expected: list
) -> None:
    """Once, so that guard and upstream agree on every spelling."""
    url = await serve(SessionGuard(ReverseProxy(upstream.url, forward_key=forward_key), store="memory:"))
    await client.get(url, headers=sent)

    headers = (await upstream.last())["headers"]
    assert expected == [value for name, value in headers if name == "x-openclaw-session-key"]


def test_an_unknown_form_of_the_key_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="forward_key: 'both' is not legal; expected canonical or as-sent"):
        ReverseProxy("http://127.0.0.1:1", forward_key="both")


def test_the_canonical_key_is_refused_where_principals_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people with one key would be one conversation in the upstream."""

    class Principals:
        @hookimpl
        def sessionguard_principal(self, scope: Any) -> str:
            return "alice"

    guard = functools.partial(SessionGuard, plugins=[Principals()], store="memory:")
    monkeypatch.setattr(proxying, "SessionGuard", guard)
    arguments = {"upstream": "http://127.0.0.1:1", "forward_key": "canonical"}
    monkeypatch.setenv(proxying.ARGUMENTS, json.dumps(arguments))

    with pytest.raises(ConfigurationError, match="set --forward-key=as-sent and keep them apart there"):
        proxying.create_app()

    monkeypatch.setenv(proxying.ARGUMENTS, json.dumps({**arguments, "forward_key": "as-sent"}))
    assert proxying.create_app().knows_principals


async def test_the_ready_signal_of_the_upstream_reaches_the_turn_and_not_the_client(serve: Serve) -> None:
    """Nor does any other header of its own guard."""

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        names = [b"X-SessionGuard-Ready", b"x-sessionguard-status", b"x-kept"]
        await send({"type": "http.response.start", "status": 200, "headers": [(name, b"1") for name in names]})
        await send({"type": "http.response.body", "body": b""})

    class Turn:
        is_ready = False

        def ready(self) -> None:
            self.is_ready = True

    turn = Turn()
    async with contextlib.aclosing(ReverseProxy(await serve(gateway))) as proxy:
        start, *_ = await call(proxy, http_scope(**{"sessionguard.turn": turn}))

    assert turn.is_ready
    assert [b"x-kept"] == [name for name, _ in start["headers"] if name.startswith(b"x-")]


FRAMINGS = [
    ([(b"content-length", b"4")], [["content-length", "4"]]),
    ([(b"transfer-encoding", b"chunked")], [["transfer-encoding", "chunked"]]),
    ([(b"transfer-encoding", b"chunked"), (b"content-length", b"9")], [["transfer-encoding", "chunked"]]),
    ([], [["transfer-encoding", "chunked"]]),
]


@pytest.mark.parametrize(("headers", "framing"), FRAMINGS)
async def test_a_body_is_framed_as_the_client_framed_it(
    upstream: Upstream, headers: list[tuple[bytes, bytes]], framing: list[list[str]]
) -> None:
    """A body that came without a length, as HTTP/2 may have it, is sent in chunks."""
    parts = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"cd"}]

    async with contextlib.aclosing(ReverseProxy(upstream.url)) as proxy:
        await call(proxy, http_scope(method="POST", headers=iter(headers)), *parts)

    record = await upstream.last()
    assert (4, framing) == (record["size"], record["headers"][1:])


async def test_end_to_end_response_headers_come_back_in_order(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """Repeated headers stay repeated; hop-by-hop headers and the upstream's own guard status stay behind."""
    url = await serve(ReverseProxy(upstream.url))

    response = await client.get(f"{url}/headers")

    expected = [
        (b"content-encoding", b"gzip"),
        (b"content-length", str(len(gzip.compress(b"squeezed"))).encode()),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-kept", b"yes"),
    ]
    assert expected == response.headers.raw


async def test_a_compressed_body_passes_as_it_is(serve: Serve, upstream: Upstream, client: httpx.AsyncClient) -> None:
    """The encoding is between the upstream and the client."""
    url = await serve(ReverseProxy(upstream.url))

    async with client.stream("GET", f"{url}/headers") as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])

    assert b"squeezed" == gzip.decompress(raw)


async def test_cookies_of_one_response_are_not_sent_with_the_next_request(serve: Serve, upstream: Upstream) -> None:
    """The proxy has no memory: clients must not inherit one another's cookies."""
    url = await serve(ReverseProxy(upstream.url))
    for path in ("/headers", "/next"):
        await on_the_wire(url, f"GET {path} HTTP/1.1", "host: x", "connection: close")

    assert "cookie" not in dict((await upstream.last())["headers"])


async def test_a_redirect_passes_unread(serve: Serve, upstream: Upstream, client: httpx.AsyncClient) -> None:
    """It is neither followed nor judged, even when its location is no URL."""
    url = await serve(ReverseProxy(upstream.url))

    response = await on_the_wire(url, "GET /redirect HTTP/1.1", "host: x", "connection: close")

    assert response.startswith(b"HTTP/1.1 302") and b"location: http://[broken\r\n" in response


@pytest.mark.slow
async def test_there_is_no_limit_to_the_requests_under_way(serve: Serve, upstream: Upstream) -> None:
    """More than an HTTP client's usual hundred wait for the upstream at the same time."""
    url = await serve(ReverseProxy(upstream.url))
    names = [f"n{number}" for number in range(120)]
    limits = httpx.Limits()

    # The first request waits until the last has arrived, which takes long on a busy machine.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=None, limits=limits) as crowd:
        requests = [asyncio.create_task(crowd.get(f"{url}/hang", headers={"x-name": name})) for name in names]
        for name in names:
            await upstream.wait(f"{name}-head")
        for name in names:
            await upstream.set(f"{name}-go")
        responses = await asyncio.gather(*requests)

    assert {200} == {response.status_code for response in responses}


BODILESS = [("HEAD", "/things", 200), ("GET", "/status?204", 204), ("GET", "/status?304", 304)]


@pytest.mark.parametrize(("method", "path", "status"), BODILESS)
async def test_a_response_without_body_leaves_the_connection_usable(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """HEAD, 204 and 304 have no body, so the next answer on the connection is the next request's."""
    url = await serve(ReverseProxy(upstream.url))

    response = await client.request(method, url + path)
    following = await client.get(f"{url}/following")

    assert (status, b"", "/following") == (response.status_code, response.content, following.json()["target"])


async def test_head_keeps_the_length_of_the_body_it_does_not_have(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """A HEAD says what a GET would have said."""
    url = await serve(ReverseProxy(upstream.url))

    response = await client.head(f"{url}/things")

    assert int(response.headers["content-length"]) > 0


async def test_the_guards_id_reaches_the_upstream_and_a_forged_one_does_not(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """Behind the guard the upstream reads one id per key, whatever the client claims."""
    url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))
    forged = {"x-openclaw-session-id": "forged", "x_openclaw_session_id": "forged"}

    for _ in range(2):
        await client.get(url, headers={"x-openclaw-session-key": "k", **forged})

    ids = [value for record in await upstream.requests() for name, value in record["headers"] if "id" in name]
    assert (2, 1) == (len(ids), len(set(ids) - {"forged"}))


async def test_a_client_cannot_have_the_id_dropped_as_hop_by_hop(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """Naming the id's header in `connection` must not take the id from the upstream."""
    url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))

    await client.get(url, headers={"x-openclaw-session-key": "k", "connection": "x-openclaw-session-id, x-empty"})

    assert "x-openclaw-session-id" in dict((await upstream.last())["headers"])


async def test_only_the_outermost_guard_reports_its_status(
    serve: Serve, upstream: Upstream, client: httpx.AsyncClient
) -> None:
    """The upstream says `existing`; the client reads what the guard in front of the proxy found."""
    url = await serve(SessionGuard(ReverseProxy(upstream.url), store="memory:"))

    response = await client.get(f"{url}/headers", headers={"x-openclaw-session-key": "k"})

    assert ["new"] == response.headers.get_list("x-sessionguard-status")


async def test_an_unknown_kind_of_scope_is_an_error() -> None:
    """The specification asks for an exception."""
    with pytest.raises(ValueError, match="'smtp'"):
        await call(ReverseProxy("http://127.0.0.1:9"), {"type": "smtp"})


async def test_the_lifespan_is_answered_even_when_nothing_was_forwarded() -> None:
    """Start-up and shutdown complete without a request in between."""
    messages = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}

    sent = await call(ReverseProxy("http://127.0.0.1:9"), {"type": "lifespan"}, *messages)

    assert [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}] == sent


async def test_shutdown_closes_the_idle_connections() -> None:
    """After the lifespan has ended the upstream has no connection of ours."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = ReverseProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await call(proxy, http_scope())
    open_before = not ended.is_set()

    await call(proxy, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await asyncio.wait_for(ended.wait(), PATIENCE)

    server.close()
    await server.wait_closed()
    assert open_before


def test_one_proxy_serves_several_event_loops(upstream_server: Any) -> None:
    """Connections belong to a loop; a loop that is gone is not kept."""
    proxy = ReverseProxy(f"http://127.0.0.1:{free_port()}")

    async def statuses() -> tuple[list[int], weakref.ref[asyncio.AbstractEventLoop]]:
        answers = [await call(proxy, http_scope()) for _ in range(2)]
        return [sent[0]["status"] for sent in answers], weakref.ref(asyncio.get_running_loop())

    first, first_loop = asyncio.run(statuses())
    second, _ = asyncio.run(statuses())
    gc.collect()

    assert ([502, 502], [502, 502], None) == (first, second, first_loop())


ILLEGAL_UPSTREAMS = [
    "",
    "127.0.0.1:18789",
    "localhost:18789",
    "ftp://host",
    "http://",
    "http:///path",
    "http://host:port",
    "http://host:0",
    "http://host:65536",
    "http://[::1",
    "http://ho st",
    "http://user:secret@host",
    "http://host/?query",
    "http://host/#fragment",
    None,
]


@pytest.mark.parametrize("url", ILLEGAL_UPSTREAMS)
def test_an_illegal_upstream_is_refused_at_once(url: Any) -> None:
    """The error names the argument and never shows a password."""
    with pytest.raises(ConfigurationError, match=r"^upstream: ") as refused:
        ReverseProxy(url)

    assert "secret" not in str(refused.value)


LEGAL_UPSTREAMS = ["http://host", "https://host", "http://[::1]:8080", "http://host:80/base/", "HTTP://HOST:1/a%20b"]


@pytest.mark.parametrize("url", LEGAL_UPSTREAMS)
def test_a_legal_upstream_is_accepted_without_connecting(url: str) -> None:
    """The constructor does no I/O."""
    assert ReverseProxy(url)


@pytest.mark.parametrize("name", ["connect_timeout", "first_byte_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "10", None])
def test_an_illegal_timeout_is_refused_at_once(name: str, seconds: Any) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=rf"^{name}: .* seconds above 0"):
        ReverseProxy("http://host", **{name: seconds})
