"""Everything section 2 of the design says the application and the client see, for http and for websocket."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from sessionguard import (
    ConfigurationError,
    ExplicitSession,
    Origin,
    Refusal,
    Resolution,
    ResolutionMissing,
    SessionForbidden,
    SessionGuard,
    StoreUnavailable,
    get_resolution,
    hookimpl,
)
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import AppProbe, Exchange

KEY = (b"x-openclaw-session-key", b"Chat-1")
CANONICAL = "agent:main:chat-1"
KINDS = ["http", "websocket"]


def guarded(app: Any = None, **options: Any) -> SessionGuard:
    return SessionGuard(app or AppProbe(), **{"store": "memory:", **options})


@pytest.mark.parametrize("kind", KINDS)
async def test_the_id_is_in_all_three_places_of_the_scope_and_in_the_forwarded_header(kind: str) -> None:
    """scope, resolution, state and header name the same id."""
    probe = AppProbe()
    await Exchange(guarded(probe), [KEY], type=kind, state={"pool": "kept"}).run()

    resolution = probe.scope["sessionguard"]
    session_id = probe.scope["session_id"]

    assert isinstance(session_id, str)
    assert resolution == Resolution(CANONICAL, session_id, Origin.NEW, resolution.session_started_at)
    assert resolution is get_resolution(probe.scope)
    assert probe.scope["state"] == {"pool": "kept", "session_id": session_id}
    assert (b"x-openclaw-session-id", session_id.encode()) in probe.scope["headers"]
    assert KEY in probe.scope["headers"]


class Read(MemoryStore):
    """Knows nothing without being asked, like a store on another host."""

    def recall(self, key: str) -> None:
        return None


class ReadPlugin:
    """Brings it as `read:`, and tells how often it was asked."""

    def __init__(self) -> None:
        self.store = Read()
        self.verbs: list[str] = []

    @hookimpl
    def sessionguard_register_stores(self) -> Mapping[str, Any]:
        return {"read": lambda url, settings: self.store}

    @hookimpl
    def sessionguard_store_called(self, verb: str) -> None:
        self.verbs.append(verb)


async def test_a_store_that_must_be_read_is_read_by_every_request_and_believed() -> None:
    """What the last request was let in with is used again while the row says the same, and not a moment longer."""
    probe, plugin = AppProbe(), ReadPlugin()
    guard = guarded(probe, store="read:", plugins=[plugin])
    seen: list[Resolution] = []
    for _ in range(4):
        await Exchange(guard, [KEY]).run()
        seen.append(probe.scope["sessionguard"])
    moved = await guard.reset("Chat-1")
    for _ in range(2):
        await Exchange(guard, [KEY]).run()
        seen.append(probe.scope["sessionguard"])

    first = seen[0].session_id
    assert [(each.session_id, each.origin) for each in seen] == [
        (first, Origin.NEW),
        *[(first, Origin.EXISTING)] * 3,
        *[(moved.session_id, Origin.EXISTING)] * 2,
    ]
    assert plugin.verbs == ["get", "reserve", "get", "get", "get", "get", "reserve", "get", "get"]


async def test_a_row_that_is_gone_is_not_answered_from_what_was_known() -> None:
    """A conversation that somebody has removed begins anew."""
    probe, plugin = AppProbe(), ReadPlugin()
    guard = guarded(probe, store="read:", plugins=[plugin])
    for _ in range(3):
        await Exchange(guard, [KEY]).run()
    old = probe.scope["session_id"]
    (row_key,) = [key async for key, _ in plugin.store.scan()]
    assert await plugin.store.forget(row_key, old)
    await Exchange(guard, [KEY]).run()

    assert probe.scope["session_id"] != old
    assert probe.scope["sessionguard"].origin is Origin.NEW


@pytest.mark.parametrize("kind", KINDS)
async def test_the_incoming_scope_is_never_changed(kind: str) -> None:
    """Not its keys, not its headers, not its state."""
    state = {"pool": "kept"}
    exchange = Exchange(guarded(), [KEY], type=kind, state=state)
    before = {**exchange.scope, "headers": list(exchange.scope["headers"])}
    await exchange.run()

    assert exchange.scope == before
    assert state == {"pool": "kept"}


async def test_the_store_stands_in_the_scope_for_middleware_of_ours() -> None:
    """A turn gate that is put inside by hand finds it there."""
    probe, store = AppProbe(), MemoryStore()
    await Exchange(guarded(probe, store=store), [KEY]).run()

    assert probe.scope["sessionguard.store"] is store


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_key_the_application_gets_the_very_same_scope_and_send(kind: str) -> None:
    """Nothing is copied, nothing is added."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, receive, send])

    exchange = Exchange(guarded(app), [(b"accept", b"*/*")], type=kind)
    receive, send = object(), object()
    await exchange.app(exchange.scope, receive, send)  # type: ignore[arg-type]

    assert seen[0] is exchange.scope
    assert seen[1:] == [receive, send]


FORGED = [
    b"x-openclaw-session-id",
    b"X-OpenClaw-Session-ID",
    b"x_openclaw_session_id",
    b"x-openclaw_session-ID",
    b"x-openclaw-session-effects",
    b"x_openclaw_session_effects",
    b"x-openclaw-handoff-token",
    b"X_OpenClaw_Handoff_Token",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_headers", [[KEY], []], ids=["with key", "without key"])
@pytest.mark.parametrize("name", FORGED, ids=bytes.decode)
async def test_a_clients_copy_of_our_headers_never_reaches_the_application(
    kind: str, request_headers: list[tuple[bytes, bytes]], name: bytes
) -> None:
    """The id, the handoff marker and its capability are ours to send; so are their twins with underscores."""
    probe = AppProbe()
    await Exchange(guarded(probe), [*request_headers, (name, b"forged"), (b"accept", b"*/*")], type=kind).run()

    assert b"forged" not in [value for _, value in probe.scope["headers"]]
    assert (b"accept", b"*/*") in probe.scope["headers"]


@pytest.mark.parametrize("scope", [{"method": "OPTIONS"}, {"path": "/health"}], ids=["OPTIONS", "excluded path"])
async def test_options_and_excluded_paths_are_stripped_and_pass(scope: dict[str, Any]) -> None:
    """A preflight never makes a conversation, and never smuggles an id either."""
    probe = AppProbe()
    guard = guarded(probe, exclude_paths=["/health"])
    exchange = await Exchange(guard, [KEY, (b"x-openclaw-session-id", b"forged")], **scope).run()

    assert probe.scope["headers"] == [KEY]
    assert "session_id" not in probe.scope
    assert "x-sessionguard-status" not in exchange.headers


def read_once(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Iterator[bytes]]:
    """Headers as Falcon's test client has them: every pair is an iterator too."""
    return iter([iter(pair) for pair in headers])


@pytest.mark.parametrize(
    "container", [list, tuple, iter, read_once], ids=["list", "tuple", "generator", "pairs read once"]
)
@pytest.mark.parametrize("name", [b"x-openclaw-session-key", b"X-OpenClaw-Session-Key"])
async def test_headers_may_be_any_iterable_in_any_case(
    container: Callable[[Iterable[tuple[bytes, bytes]]], Any], name: bytes
) -> None:
    """The specification says iterable of lower-case names; test clients and servers disagree."""
    probe = AppProbe()
    await Exchange(guarded(probe), container([(name, b"Chat-1"), (b"accept", b"*/*")])).run()

    assert probe.scope["sessionguard"].session_key == CANONICAL
    assert (b"accept", b"*/*") in probe.scope["headers"]


async def test_a_generator_of_headers_reaches_the_application_whole_without_a_key() -> None:
    """Looking for the key must not use the headers up."""
    probe = AppProbe()
    await Exchange(guarded(probe), iter([(b"accept", b"*/*")])).run()

    assert list(probe.scope["headers"]) == [(b"accept", b"*/*")]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_response_says_how_the_id_came_about(kind: str) -> None:
    """First new, then existing; on the start of the response or on the accepted handshake."""
    guard = guarded()
    statuses = [(await Exchange(guard, [KEY], type=kind).run()).headers["x-sessionguard-status"] for _ in range(3)]

    assert statuses == ["new", "existing", "existing"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"x-sessionguard-status"}),
        ({"status_header": False}, set()),
        ({"expose_session_id": True}, {"x-sessionguard-status", "x-openclaw-session-id"}),
        ({"status_header": False, "expose_session_id": True}, {"x-openclaw-session-id"}),
    ],
)
async def test_response_headers_are_a_choice(options: dict[str, Any], names: set[str]) -> None:
    """The id can be a capability, so it is sent back only when asked for."""
    exchange = await Exchange(guarded(**options), [KEY]).run()

    assert set(exchange.headers) - {"content-type"} == names


@pytest.mark.parametrize(
    ("forward_header", "expected"), [("x-session", {b"x-session"}), (None, set())], ids=["renamed", "none"]
)
async def test_the_forwarded_header_is_a_choice_and_stays_ours(
    forward_header: str | None, expected: set[bytes]
) -> None:
    """Under another name it is stripped from the client as well; without one nothing is forwarded."""
    probe = AppProbe()
    forged = [(b"x-session", b"forged"), (b"x-openclaw-session-id", b"forged")]
    await Exchange(guarded(probe, forward_header=forward_header), [KEY, *forged[: 2 if forward_header else 1]]).run()
    names = {name for name, value in probe.scope["headers"] if value == probe.scope["session_id"].encode()}

    assert names == expected


async def test_messages_other_than_the_start_pass_as_they_are_and_at_once() -> None:
    """Chunks arrive as they are sent; early hints, trailers and message types nobody knows yet are not touched."""
    messages = [
        {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
        {"type": "http.response.start", "status": 200, "trailers": True},
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.pathsend", "path": "/file"},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
        {"type": "something.new", "payload": object()},
    ]
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for number, message in enumerate(messages):
            await send(message)
            assert len(sent) == number + 1

    async def send(message: Any) -> None:
        sent.append(message)

    exchange = Exchange(guarded(app), [KEY])
    await exchange.app(exchange.scope, None, send)  # type: ignore[arg-type]

    assert [message is original for message, original in zip(sent, messages, strict=True)] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    assert sent[1] == {**messages[1], "headers": [(b"x-sessionguard-status", b"new")]}
    assert "headers" not in messages[1]


async def test_the_request_body_is_left_to_the_application() -> None:
    """`receive` is the server's own; nothing is read ahead."""
    probe: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        probe.append(receive)

    receive = object()
    exchange = Exchange(guarded(app), [KEY])
    await exchange.app(exchange.scope, receive, None)  # type: ignore[arg-type]

    assert probe == [receive]


REFUSALS = [
    ([(b"x-openclaw-session-key", b"a b")], "invalid_session_key", 400),
    ([(b"x-openclaw-session-key", b"cron:nightly")], "reserved_session_key", 400),
    ([KEY, (b"x-openclaw-agent-id", b"no spaces")], "invalid_agent_id", 400),
    ([(b"x-openclaw-session-key", b"agent:a:x"), (b"x-openclaw-agent-id", b"b")], "agent_mismatch", 400),
    ([], "session_key_required", 400),
]


@pytest.mark.parametrize(("headers", "code", "status"), REFUSALS, ids=[row[1] for row in REFUSALS])
async def test_a_refusal_is_an_openai_error_and_never_reaches_the_application(
    headers: list[tuple[bytes, bytes]], code: str, status: int
) -> None:
    """Clients of LLM gateways read `error.code`."""
    probe = AppProbe()
    exchange = await Exchange(guarded(probe, require_key=["/*"]), headers).run()
    error = json.loads(exchange.sent[1]["body"])["error"]

    assert (exchange.status, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert set(error) == {"message", "type", "param", "code"}
    assert exchange.headers["content-type"] == "application/json"
    assert int(exchange.headers["content-length"]) == len(exchange.sent[1]["body"])
    assert probe.scopes == []


async def test_a_refusal_is_a_problem_document_for_those_who_accept_one() -> None:
    """RFC 9457, chosen by the Accept header."""
    accept = (b"accept", b"application/problem+json, application/json;q=0.5")
    exchange = await Exchange(guarded(), [(b"x-openclaw-session-key", b"cron:x"), accept]).run()
    problem = json.loads(exchange.sent[1]["body"])

    assert exchange.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"], problem["title"]) == (400, "reserved_session_key", "Bad Request")


class Broken(MemoryStore):
    """A store that raises instead of answering."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def get(self, key: str) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error", [StoreUnavailable("down"), ConnectionError("refused"), ConfigurationError("not ours")]
)
async def test_a_store_that_fails_is_503_with_a_key_and_nothing_without_one(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Fail closed, and let health checks pass; what went wrong is in the log once, not in the answer."""
    probe = AppProbe()
    guard = guarded(probe, store=Broken(error))
    refused = [await Exchange(guard, [KEY]).run() for _ in range(2)]
    passed = await Exchange(guard).run()
    body = json.loads(refused[0].sent[1]["body"])["error"]

    assert [exchange.status for exchange in refused] == [503, 503]
    assert refused[0].headers["retry-after"] == "1"
    assert body["code"] == "session_store_unavailable"
    assert passed.status == 200
    assert len(probe.scopes) == 1
    assert caplog.text.count("cannot be used") == (0 if isinstance(error, Refusal) else 1)


async def test_failing_open_is_an_explicit_choice_and_says_so() -> None:
    """With on_store_error=open everybody gets an id of his own, marked `degraded`."""
    probe = AppProbe()
    guard = guarded(probe, store=Broken(StoreUnavailable("down")), on_store_error="open")
    exchanges = [await Exchange(guard, [KEY]).run() for _ in range(2)]

    assert [exchange.headers["x-sessionguard-status"] for exchange in exchanges] == ["degraded"] * 2
    assert len({scope["session_id"] for scope in probe.scopes}) == 2


async def test_a_deterministic_failure_tells_the_openai_client_not_to_retry(caplog: pytest.LogCaptureFixture) -> None:
    """500 with x-should-retry: false, and the cause in the log."""

    class Faulty:
        @hookimpl
        def sessionguard_session_key(self) -> None:
            raise ZeroDivisionError

    exchange = await Exchange(guarded(plugins=[Faulty()]), [KEY]).run()

    assert exchange.status == 500
    assert exchange.headers["x-should-retry"] == "false"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("store", "key", "code"), [(None, b"cron:x", 1008), (Broken(StoreUnavailable("down")), b"chat", 1013)]
)
async def test_a_websocket_is_refused_before_it_is_accepted(store: Any, key: bytes, code: int) -> None:
    """By closing, where the server offers nothing better."""
    guard = guarded(store=store or "memory:")
    exchange = await Exchange(guard, [(b"x-openclaw-session-key", key)], type="websocket").run()

    assert [message["type"] for message in exchange.sent] == ["websocket.close"]
    assert exchange.sent[0]["code"] == code


async def test_a_websocket_is_refused_with_a_real_response_where_the_server_can() -> None:
    """The extension carries status, headers and the same error body."""
    headers = [(b"x-openclaw-session-key", b"cron:x")]
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    exchange = await Exchange(guarded(), headers, type="websocket", extensions=extensions).run()

    assert [message["type"] for message in exchange.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert exchange.status == 400
    assert json.loads(exchange.sent[1]["body"])["error"]["code"] == "reserved_session_key"


async def test_a_guard_inside_a_guard_adopts_what_the_outer_one_found() -> None:
    """One request, one resolution, one status header."""
    probe = AppProbe()
    exchange = await Exchange(guarded(guarded(probe)), [KEY]).run()
    ids = [value for name, value in probe.scope["headers"] if name == b"x-openclaw-session-id"]
    statuses = [name for name, _ in exchange.sent[0]["headers"] if name == b"x-sessionguard-status"]

    assert ids == [probe.scope["session_id"].encode()]
    assert len(statuses) == 1


async def test_get_resolution_without_a_guard_says_what_is_missing() -> None:
    """The reading side never guesses."""
    with pytest.raises(ResolutionMissing, match="SessionGuard"):
        get_resolution({"type": "http"})


def test_attributes_of_the_application_stay_reachable() -> None:
    """`app.state`, `app.routes` and the like work through the guard."""
    probe = AppProbe()

    assert guarded(probe).scopes is probe.scopes
    with pytest.raises(AttributeError, match="routes"):
        _ = guarded(probe).routes
    with pytest.raises(AttributeError, match="_wrapped"):
        _ = SessionGuard.__new__(SessionGuard).anything


def test_servers_see_a_native_asgi_3_application() -> None:
    """uvicorn and hypercorn look at `__call__`."""
    assert inspect.iscoroutinefunction(SessionGuard.__call__)
    assert inspect.iscoroutinefunction(guarded().__call__)


async def test_an_asgi_2_application_is_guarded_as_well() -> None:
    """Old applications are adapted once, when the guard is built."""
    probe = AppProbe()

    class Old:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            await probe(self.scope, receive, send)

    exchange = await Exchange(guarded(Old), [KEY]).run()

    assert exchange.headers["x-sessionguard-status"] == "new"
    assert "session_id" in probe.scope


def test_a_class_path_loads_like_a_servers_middleware_flag_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such loaders import the path, check for a class and construct it with the application alone."""
    monkeypatch.setenv("SESSIONGUARD_STORE", "memory:")
    path = "sessionguard.SessionGuard"
    module_path, name = path.rsplit(".", 1)
    loaded = getattr(importlib.import_module(module_path), name)

    assert inspect.isclass(loaded)
    assert isinstance(loaded(app=AppProbe()), SessionGuard)


async def test_other_scope_types_pass_untouched() -> None:
    """A protocol nobody knows yet is the application's business."""
    probe = AppProbe()
    scope = {"type": "webtransport"}
    await guarded(probe)(scope, None, None)  # type: ignore[arg-type]

    assert probe.scope is scope


def test_several_event_loops_of_one_process_agree(store_url: str) -> None:
    """Each loop reserves for itself; the store makes them agree."""
    probe = AppProbe()
    guard = guarded(probe, store=store_url)
    barrier = threading.Barrier(4)

    def serve() -> None:
        barrier.wait()
        asyncio.run(concurrently(guard, 8))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(guard._store.aclose())

    assert len(probe.scopes) == 32
    assert len({scope["session_id"] for scope in probe.scopes}) == 1
    assert [scope["sessionguard"].origin for scope in probe.scopes].count(Origin.NEW) == 1


async def concurrently(guard: SessionGuard, times: int) -> list[Exchange]:
    return list(await asyncio.gather(*(Exchange(guard, [KEY]).run() for _ in range(times))))


async def test_an_exception_of_the_application_passes_and_the_row_stays() -> None:
    """The guard is not in the way of error handlers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("from the application")

    guard = guarded(app)
    with pytest.raises(LookupError, match="from the application"):
        await Exchange(guard, [KEY]).run()

    assert [key async for key, _ in guard._store.scan()] == [f"default//{CANONICAL}"]


async def test_reset_binds_the_key_to_a_new_id_for_the_next_request() -> None:
    """By raw key, like the header."""
    probe = AppProbe()
    guard = guarded(probe)
    await Exchange(guard, [KEY]).run()
    resolution = await guard.reset("Chat-1")
    exchange = await Exchange(guard, [KEY]).run()

    assert [scope["session_id"] for scope in probe.scopes][1:] == [resolution.session_id]
    assert probe.scopes[0]["session_id"] != resolution.session_id
    assert exchange.headers["x-sessionguard-status"] == "existing"
    assert resolution.origin is Origin.NEW


async def test_reset_names_the_agent_and_the_principal() -> None:
    """Only the conversation that was meant starts anew; without a principal nothing is guessed."""

    class Principals:
        @hookimpl
        def sessionguard_principal(self, scope: Any) -> str:
            return dict(scope["headers"])[b"authorization"].decode()

    probe = AppProbe()
    guard = guarded(probe, plugins=[Principals()])
    alice, bob = [KEY, (b"authorization", b"alice")], [KEY, (b"authorization", b"bob")]
    for headers in (alice, bob):
        await Exchange(guard, headers).run()
    for nobody in (None, ""):
        with pytest.raises(SessionForbidden):
            await guard.reset("chat-1", principal=nobody)
    await guard.reset("chat-1", agent="MAIN", principal="alice")
    for headers in (alice, bob):
        await Exchange(guard, headers).run()
    before_alice, before_bob, after_alice, after_bob = (scope["session_id"] for scope in probe.scopes)

    assert after_alice != before_alice
    assert after_bob == before_bob


async def test_an_explicit_id_from_trusted_code_passes_and_the_store_is_not_asked() -> None:
    """With a key and without one; nothing is read, nothing is written."""
    probe = AppProbe()
    guard = guarded(probe, store=Broken(StoreUnavailable("must not be asked")))
    marker = {"sessionguard.explicit": ExplicitSession("chosen")}
    exchanges = [await Exchange(guard, headers, **marker).run() for headers in ([KEY], [])]

    assert [scope["session_id"] for scope in probe.scopes] == ["chosen", "chosen"]
    assert [scope["sessionguard"].session_key for scope in probe.scopes] == [CANONICAL, None]
    assert [exchange.headers["x-sessionguard-status"] for exchange in exchanges] == ["explicit"] * 2


async def test_a_guard_says_once_where_conversations_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The place, how far it reaches, and that nobody is told apart."""
    caplog.set_level(logging.INFO, "sessionguard")
    guard = guarded()
    for _ in range(3):
        await Exchange(guard, [KEY]).run()

    assert caplog.text.count("shared within one process") == 1
    assert caplog.text.count("every process has conversations of its own") == 1
    assert caplog.text.count("whoever may send a session key") == 1


async def test_no_log_holds_a_raw_key(caplog: pytest.LogCaptureFixture) -> None:
    """Not when all is well, not when a key is refused, not when a plugin or the store fails."""

    class Faulty:
        @hookimpl
        def sessionguard_principal(self) -> None:
            raise ZeroDivisionError

    caplog.set_level(logging.DEBUG)
    guards = [guarded(), guarded(plugins=[Faulty()]), guarded(store=Broken(ConnectionError("refused")))]
    for guard in guards:
        for key in (b"hush-hush", b"cron:hush-hush", b"hush hush"):
            await Exchange(guard, [(b"x-openclaw-session-key", key)]).run()

    assert caplog.records
    assert "hush" not in caplog.text


class Slow(MemoryStore):
    """A store whose reservations wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def reserve(self, *arguments: Any) -> Any:
        self.asked.set()
        await self.go.wait()
        return await super().reserve(*arguments)


async def test_the_reservation_is_finished_before_the_application_starts() -> None:
    """No lock of ours is held while it runs, and it never runs without an id."""
    probe, store = AppProbe(), Slow()
    request = asyncio.ensure_future(Exchange(guarded(probe, store=store), [KEY]).run())
    await store.asked.wait()
    assert probe.scopes == []
    store.go.set()
    await request

    assert len(probe.scopes) == 1


async def test_a_store_that_never_answers_is_503_in_time() -> None:
    """`reserve_timeout` counts from each caller's arrival."""
    guard = guarded(store=Slow(), reserve_timeout=0.2)
    exchange = await asyncio.wait_for(Exchange(guard, [KEY]).run(), 5)

    assert exchange.status == 503


async def test_what_the_application_writes_into_its_scope_stays_inside() -> None:
    """The scope and the state are copies, so middleware outside the guard sees neither."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["written"] = scope["state"]["written"] = True

    exchange = Exchange(guarded(app), [KEY], state={})
    await exchange.app(exchange.scope, None, None)  # type: ignore[arg-type]

    assert "written" not in exchange.scope
    assert exchange.scope["state"] == {}


async def test_a_body_streams_through_a_guard_chunk_by_chunk() -> None:
    """A second chunk that waits for the client to have seen the first one is no deadlock."""
    seen_first = asyncio.Event()
    received: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(seen_first.wait(), 5)
        yield b"second"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for chunk in chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        received.append(message.get("body", b""))
        if message.get("body") == b"first":
            seen_first.set()

    exchange = Exchange(guarded(app), [KEY])
    await exchange.app(exchange.scope, None, send)  # type: ignore[arg-type]

    assert b"".join(received) == b"firstsecond"
