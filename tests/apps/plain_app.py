"""No framework at all: a callable that speaks ASGI, behind the guard."""

from __future__ import annotations

import json
from typing import Any

from journal import note
from outside import Outside
from signals import arrived, finished, released

from sessionguard import SessionGuard

ALLOWED = (b"access-control-allow-origin", b"https://page.example")


def header(scope: Any, name: bytes) -> str | None:
    return next((value.decode() for key, value in scope["headers"] if key == name), None)


def seen(scope: Any) -> dict[str, str | None]:
    return {"scope": scope.get("session_id"), "header": header(scope, b"x-openclaw-session-id")}


async def plain(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    elif scope["method"] == "OPTIONS":
        await options(scope, send)
    else:
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/mounted")
        await PATHS[path](scope, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    for event in ("started", "stopped"):
        message = await receive()
        note(event)
        await send({"type": f"{message['type']}.complete"})


async def talk(scope: Any, receive: Any, send: Any) -> None:
    note("websocket")
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(seen(scope))})
    await send({"type": "websocket.close", "code": 1000})


async def options(scope: Any, send: Any) -> None:
    extra = [(b"allow", b"GET, OPTIONS")]
    if header(scope, b"origin") == "https://page.example":
        extra += [ALLOWED, (b"access-control-allow-headers", b"x-openclaw-session-key")]
    await start(send, extra)
    await send({"type": "http.response.body"})


async def start(send: Any, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def answer(scope: Any, send: Any, body: Any) -> None:
    extra = [ALLOWED] if header(scope, b"origin") == "https://page.example" else []
    await start(send, [(b"content-type", b"application/json"), *extra])
    content = b"" if scope["method"] == "HEAD" else json.dumps(body).encode()
    await send({"type": "http.response.body", "body": content})


async def session(scope: Any, receive: Any, send: Any) -> None:
    note("session")
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    await answer(scope, send, {"seen": seen(scope), "headers": headers})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    await start(send, [])
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await released.wait()
    await send({"type": "http.response.body", "body": b"second"})


async def release(scope: Any, receive: Any, send: Any) -> None:
    released.give()
    await answer(scope, send, "released")


async def upload(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if not size:
            arrived.give()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(scope, send, {"size": size, "session_id": scope["session_id"]})


async def arrival(scope: Any, receive: Any, send: Any) -> None:
    await arrived.wait()
    await answer(scope, send, "arrived")


async def background(scope: Any, receive: Any, send: Any) -> None:
    await answer(scope, send, "begun")
    await released.wait()
    finished.give(scope["session_id"])


async def outcome(scope: Any, receive: Any, send: Any) -> None:
    await answer(scope, send, {"session_id": await finished.wait()})


async def mark(scope: Any, receive: Any, send: Any) -> None:
    scope.setdefault("state", {})["mark"] = "app"
    await answer(scope, send, "marked")


async def crash(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("the application failed")


PATHS = {
    f"/{path.__name__}": path for path in (session, stream, release, upload, arrival, background, outcome, mark, crash)
}
app = Outside(SessionGuard(plain))
