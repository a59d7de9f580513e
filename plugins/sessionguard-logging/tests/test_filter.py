"""Which session a record has."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sessionguard_logging import LoggingPlugin

from sessionguard import SessionGuard
from sessionguard.keys import fingerprint
from sessionguard.testing import Exchange

Seen = list[tuple[str, str, str, str]]

log = logging.getLogger("agent")


def guarded(agent: Any) -> SessionGuard:
    """Behind a guard that knows the plugin once, installed or not."""
    return SessionGuard(agent, store="memory:", plugins=[LoggingPlugin])


async def answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def keyed(guard: SessionGuard, key: str = "my-chat", **scope: Any) -> Exchange:
    return Exchange(guard, [(b"x-openclaw-session-key", key.encode())], **scope)


async def test_a_record_has_id_origin_and_hash_of_its_request_and_not_its_key(seen: Seen) -> None:
    ids: list[str] = []

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        ids.append(scope["session_id"])
        log.info("working")
        await answer(send)

    guard = guarded(agent)
    for _ in range(2):
        await keyed(guard).run()

    shown = fingerprint("agent:main:my-chat")
    assert seen == [("working", ids[0], "new", shown), ("working", ids[0], "existing", shown)]


async def test_what_a_request_starts_belongs_to_it(seen: Seen) -> None:
    """Tasks and threads, and what runs behind the answer."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        async def task() -> None:
            log.info("task")

        await asyncio.gather(task(), asyncio.to_thread(log.info, "thread"))
        await answer(send)
        log.info("behind the answer")

    await keyed(guarded(agent)).run()

    assert {origin for _, _, origin, _ in seen} == {"new"}
    assert {message for message, *_ in seen} == {"task", "thread", "behind the answer"}


async def test_requests_that_run_side_by_side_do_not_mix(seen: Seen) -> None:
    """A hundred, each of which gives way to all others between two records."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            log.info(scope["session_id"])
            await asyncio.sleep(0)
        await answer(send)

    guard = guarded(agent)
    await asyncio.gather(*(keyed(guard, f"chat-{number}").run() for number in range(100)))

    assert len(seen) == 200
    assert all(message == session_id for message, session_id, _, _ in seen)


async def test_outside_of_requests_and_without_a_key_there_is_no_session(seen: Seen) -> None:
    async def agent(scope: Any, receive: Any, send: Any) -> None:
        log.info("no key")
        await answer(send)

    guard = guarded(agent)
    await keyed(guard).run()
    seen.clear()
    await Exchange(guard).run()
    log.info("no request")

    assert seen == [("no key", "-", "-", "-"), ("no request", "-", "-", "-")]


async def test_a_request_begun_inside_the_last_message_of_another_is_not_taken_for_it(seen: Seen) -> None:
    """As a server does with what a client has sent down one connection at once."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)
        log.info("first, still")

    guard = guarded(agent)
    exchange = keyed(guard)
    begun: list[asyncio.Task[None]] = []

    async def begin() -> None:
        log.info("second, before its guard")

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            begun.append(asyncio.create_task(begin()))

    await guard(exchange.scope, receive, send)
    await asyncio.gather(*begun)

    assert [(message, origin) for message, _, origin, _ in seen] == [
        ("first, still", "new"),
        ("second, before its guard", "-"),
    ]


async def test_what_a_server_does_with_a_message_that_is_not_the_last_belongs_to_the_request(seen: Seen) -> None:
    """Its access log, for one."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"piece", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        log.info(message["type"])

    await guarded(agent)(keyed(guarded(agent)).scope, None, send)

    assert [origin for _, _, origin, _ in seen] == ["new", "new", "-"]


async def test_a_request_without_a_key_that_another_one_makes_has_no_session(seen: Seen) -> None:
    """In the same process and task: whose it is, is not known."""

    async def agent(scope: Any, receive: Any, send: Any) -> None:
        if "session_id" in scope:
            await Exchange(guard).run()
        log.info("outer" if "session_id" in scope else "inner")
        await answer(send)

    guard = guarded(agent)
    await keyed(guard).run()

    assert [(message, origin) for message, _, origin, _ in seen] == [("inner", "-"), ("outer", "new")]


async def test_an_application_that_raises_leaves_nothing_behind(seen: Seen) -> None:
    async def agent(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    try:
        await keyed(guarded(agent)).run()
    except RuntimeError:
        log.info("after")

    assert seen == [("after", "-", "-", "-")]


async def test_a_websocket_has_its_session_until_it_ends(seen: Seen) -> None:
    async def agent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        log.info("open")
        await send({"type": "websocket.close", "code": 1000})
        log.info("closed")

    await keyed(guarded(agent), type="websocket").run()

    assert [(message, origin) for message, _, origin, _ in seen] == [("open", "new"), ("closed", "new")]
