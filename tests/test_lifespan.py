"""The store lives within the server's lifespan where there is one, and does without where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard, StoreUnavailable
from sessionguard.stores.disk.store import DiskStore
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import AppProbe, Exchange

KEY = (b"x-openclaw-session-key", b"key")


class Closing(MemoryStore):
    """Counts how often it is closed."""

    closed = 0
    touched = 0

    async def aclose(self) -> None:
        self.closed += 1

    async def touch(self, updates: Any) -> None:
        self.touched += len(updates)


async def supporting(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await AppProbe()(scope, receive, send)
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def unsupporting(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("this application has no lifespan")
    await AppProbe()(scope, receive, send)


async def failing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Returns from the lifespan without a word, as some proxies do."""


async def failing_to_stop(scope: Any, receive: Any, send: Any) -> None:
    for answer in ("lifespan.startup.complete", "lifespan.shutdown.failed"):
        await receive()
        await send({"type": answer})


class Server:
    """The server's side of a lifespan."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.sent: list[dict[str, Any]] = []
        self._answered = asyncio.Event()
        self._messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {}}, self._messages.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._answered.set()

    async def say(self, what: str) -> None:
        """Send `startup` or `shutdown` and wait for the answer, or for the application to end."""
        self._answered.clear()
        self._messages.put_nowait({"type": f"lifespan.{what}"})
        answered = asyncio.ensure_future(self._answered.wait())
        await asyncio.wait({answered, self.task}, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()

    @property
    def answers(self) -> list[str]:
        return [message["type"].removeprefix("lifespan.") for message in self.sent]


class Unreachable(MemoryStore):
    """Does not answer."""

    async def ping(self) -> int:
        raise StoreUnavailable("down")


@pytest.mark.parametrize(("store", "times"), [(MemoryStore(), 1), (Unreachable(), 0)], ids=["answers", "does not"])
async def test_a_server_that_starts_says_where_conversations_are_kept(
    store: MemoryStore, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Before any request, once the store has answered."""
    caplog.set_level("INFO", "sessionguard")
    server = Server(SessionGuard(supporting, store=store))
    await server.say("startup")
    said = caplog.text.count("conversations are kept in the memory of this process")
    await server.say("shutdown")

    assert said == times


async def test_a_supported_lifespan_passes_and_closes_the_store_with_its_touches_written() -> None:
    """In this order: flush, close, then the server hears that shutdown is complete."""
    store = Closing()
    guard = SessionGuard(supporting, store=store)
    closed_when_told: list[int] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watch(message: Any) -> None:
            closed_when_told.append(store.closed)
            await send(message)

        await guard(scope, receive, watch)

    server = Server(watched)
    await server.say("startup")
    for _ in range(2):
        await Exchange(guard, [KEY]).run()
    assert (store.closed, store.touched) == (0, 0)
    await server.say("shutdown")
    await server.task

    assert server.answers == ["startup.complete", "shutdown.complete"]
    assert (store.closed, store.touched) == (1, 1)
    assert closed_when_told == [0, 1]


async def test_an_application_without_a_lifespan_raises_as_it_always_did() -> None:
    """The server then goes on without one, and so does the guard."""
    guard = SessionGuard(unsupporting, store="memory:")
    server = Server(guard)
    await server.say("startup")
    with pytest.raises(ValueError, match="no lifespan"):
        await server.task

    assert server.answers == []
    assert (await Exchange(guard, [KEY]).run()).headers["x-sessionguard-status"] == "new"


@pytest.mark.parametrize(
    ("app", "answers"),
    [
        (failing, ["startup.failed"]),
        (silent, []),
        (failing_to_stop, ["startup.complete", "shutdown.failed"]),
    ],
)
async def test_every_other_end_of_a_lifespan_passes_and_closes_the_store_once(app: Any, answers: list[str]) -> None:
    """The application's word is passed on as it is."""
    store = Closing()
    server = Server(SessionGuard(app, store=store))
    await server.say("startup")
    await server.say("shutdown")
    await server.task

    assert server.answers == answers
    assert store.closed == 1


async def test_a_store_two_guards_share_closes_with_the_last() -> None:
    """Guards and loops are counted."""
    store = Closing()
    servers = [Server(SessionGuard(supporting, store=store)) for _ in range(2)]
    for server in servers:
        await server.say("startup")
    await servers[0].say("shutdown")
    assert store.closed == 0
    await servers[1].say("shutdown")
    for server in servers:
        await server.task

    assert store.closed == 1


async def test_a_store_that_can_never_work_fails_the_start_with_its_cure(tmp_path: Path) -> None:
    """Before the application sees the lifespan; the server ends instead of refusing every request."""
    directory = tmp_path / "sessions"
    directory.mkdir(mode=0o755)
    guard = SessionGuard(supporting, store=f"disk://{directory}")
    server = Server(guard)
    await server.say("startup")
    await server.task
    await guard._store.aclose()

    assert server.answers == ["startup.failed"]
    assert f"chmod 700 {directory}" in server.sent[0]["message"]


@pytest.mark.slow
async def test_without_a_lifespan_a_wrong_store_is_503_and_one_clear_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests without a key still pass."""
    directory = tmp_path / "sessions"
    directory.mkdir(mode=0o755)
    guard = SessionGuard(AppProbe(), store=f"disk://{directory}")
    statuses = [(await Exchange(guard, headers).run()).status for headers in ([KEY], [KEY], [])]
    await guard._store.aclose()

    assert statuses == [503, 503, 200]
    assert caplog.text.count(f"chmod 700 {directory}") == 1


class Late(Closing):
    async def ping(self) -> int:
        raise StoreUnavailable("still starting")


class Mute(Closing):
    async def touch(self, updates: Any) -> None:
        raise StoreUnavailable("gone")


async def test_a_store_that_does_not_answer_yet_is_no_reason_not_to_start(caplog: pytest.LogCaptureFixture) -> None:
    """It may come back; until then requests with a key are 503."""
    server = Server(SessionGuard(supporting, store=Late()))
    await server.say("startup")
    await server.say("shutdown")
    await server.task

    assert server.answers == ["startup.complete", "shutdown.complete"]
    assert "does not answer yet" in caplog.text


async def test_touches_that_cannot_be_written_do_not_stop_a_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    """They are mentioned."""
    store = Mute()
    guard = SessionGuard(supporting, store=store)
    server = Server(guard)
    await server.say("startup")
    for _ in range(2):
        await Exchange(guard, [KEY]).run()
    await server.say("shutdown")
    await server.task

    assert server.answers == ["startup.complete", "shutdown.complete"]
    assert store.closed == 1
    assert "signs of life were not written" in caplog.text


async def test_a_conversation_survives_the_shutdown_of_one_lifespan(store_url: str) -> None:
    """A guard that is started again, as test clients do it, finds what it left."""
    probe = AppProbe()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (supporting if scope["type"] == "lifespan" else probe)(scope, receive, send)

    guard = SessionGuard(app, store=store_url)
    for _ in range(2):
        server = Server(guard)
        await server.say("startup")
        await Exchange(guard, [KEY]).run()
        await server.say("shutdown")
        await server.task

    assert isinstance(guard._store, DiskStore)
    assert [scope["sessionguard"].origin.value for scope in probe.scopes] == ["new", "existing"]
    assert len({scope["session_id"] for scope in probe.scopes}) == 1
