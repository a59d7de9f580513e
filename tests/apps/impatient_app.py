"""A guarded application behind a middleware that loses patience, and a path that says what the process still holds.

`/?patience=1500` cancels the guarded call after that many microseconds, if it is not done, and answers 504; the answer
says whether the reservation of the key was under way. Without `patience` nothing is ever cancelled.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sessionguard import SessionGuard
from sessionguard.stores.embedded.threads import THREADS


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    else:
        took = int(1e6 * (time.perf_counter() - scope["arrived"]))
        await answer(send, 200, {"session_id": scope["session_id"], "microseconds": took})


guard = SessionGuard(bare)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await guard(scope, receive, send)
    elif scope["path"] == "/held":
        await answer(send, 200, held())
    else:
        await hurried({**scope, "arrived": time.perf_counter()}, receive, send)


async def hurried(scope: Any, receive: Any, send: Any) -> None:
    """Call the guard as a timeout middleware does: in a task, which is cancelled when its time is up."""
    patience = parse_qs(scope["query_string"].decode()).get("patience")
    call = asyncio.ensure_future(guard(scope, receive, send))
    await asyncio.wait({call}, timeout=int(patience[0]) / 1e6 if patience else None)
    reserving = is_reserving(scope)
    call.cancel()
    await asyncio.wait({call})
    if call.cancelled():
        await answer(send, 504, {"reserving": reserving})
    else:
        call.result()


def is_reserving(scope: Any) -> bool:
    key = dict(scope["headers"])[b"x-openclaw-session-key"].decode()
    return any(row_key.endswith(f":{key}") for _, row_key in guard._resolver._reservations._flights)


def held() -> dict[str, int]:
    """What the process holds beside this request's own task and connection."""
    return {
        "tasks": len(asyncio.all_tasks()) - 1,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "flights": len(guard._resolver._reservations),
        "flushes": len(guard._resolver._touches._flushes),
        "jobs": sum(thread._queue.qsize() for thread in THREADS.running.values()),
        "locks": int(THREADS.lock.locked()),
    }


async def answer(send: Any, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
