"""The upstream of the proxy tests: an OpenAI-compatible server that does as it is told and writes down what it saw.

A request names itself with `x-name`. `POST /control/set?NAME` sets the signal NAME, `GET /control/wait?NAME` answers
when it is set: tests and server wait for one another, never for the clock. Of a request named `n` the server sets
`n-head` when it arrives, `n-part` with the first part of its body, and `n-left` when its client leaves; a stream
goes on when `n-go` is set.
"""

from __future__ import annotations

import asyncio
import collections
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

MEGABYTE = b"x" * 1_048_576

signals: dict[str, asyncio.Event] = collections.defaultdict(asyncio.Event)
records: list[dict[str, Any]] = []


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.name = self.headers.get("x-name", "")
        self.query = scope["query_string"].decode()
        self.record: dict[str, Any] = {
            "method": scope["method"],
            "target": scope["raw_path"].decode() + (f"?{self.query}" if self.query else ""),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        }
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        """Read the body; keep only its size and digest in the record."""
        parts, digest, more = [], hashlib.sha256(), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                signals[f"{self.name}-left"].set()
                raise ConnectionError(self.name)
            if message["body"]:
                signals[f"{self.name}-part"].set()
                digest.update(message["body"])
                parts.append(message["body"])
            more = message["more_body"]
        body = b"".join(parts)
        self.record.update(size=len(body), sha256=digest.hexdigest())
        return body

    async def start(self, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(self, data: bytes, *, last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        length = str(len(body)).encode()
        await self.start(status, (b"content-type", b"application/json"), (b"content-length", length))
        await self.part(body, last=True)

    async def go(self) -> None:
        """Wait until the test lets the stream go on; a client that leaves ends the exchange."""
        going = asyncio.create_task(signals[f"{self.name}-go"].wait())
        leaving = asyncio.create_task(self._receive())
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        leaving.cancel()
        if leaving.done() and not leaving.cancelled():
            signals[f"{self.name}-left"].set()
            raise ConnectionError(self.name)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    exchange = Exchange(scope, receive, send)
    if scope["path"].startswith("/control/"):
        await _control(scope["path"].rpartition("/")[2], exchange)
        return
    records.append(exchange.record)
    signals[f"{exchange.name}-head"].set()
    try:
        body = await exchange.body()
        await ROUTES.get(scope["path"], _echo)(exchange, body)
    except ConnectionError:
        return


async def _control(verb: str, exchange: Exchange) -> None:
    if verb == "set":
        signals[exchange.query].set()
    elif verb == "wait":
        await signals[exchange.query].wait()
    elif verb == "reset":
        records.clear()
        signals.clear()
    await exchange.answer(records)


async def _echo(exchange: Exchange, _body: bytes) -> None:
    await exchange.answer(exchange.record)


async def _status(exchange: Exchange, _body: bytes) -> None:
    await exchange.start(int(exchange.query), (b"etag", b'"1"'))
    await exchange.part(b"", last=True)


async def _headers(exchange: Exchange, _body: bytes) -> None:
    body = gzip.compress(b"squeezed", mtime=0)
    await exchange.start(
        200,
        (b"connection", b"X-Hop, keep-alive"),
        (b"x-hop", b"1"),
        (b"keep-alive", b"timeout=9"),
        (b"proxy-authenticate", b"Basic"),
        (b"trailer", b"x-sum"),
        (b"upgrade", b"h2c"),
        (b"x-sessionguard-status", b"existing"),
        (b"content-encoding", b"gzip"),
        (b"content-length", str(len(body)).encode()),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-kept", b"yes"),
    )
    await exchange.part(body, last=True)


async def _redirect(exchange: Exchange, _body: bytes) -> None:
    await exchange.start(302, (b"location", b"http://[broken"), (b"content-length", b"0"))
    await exchange.part(b"", last=True)


async def _hang(exchange: Exchange, _body: bytes) -> None:
    await exchange.go()
    await exchange.answer("late")


async def _events(exchange: Exchange, _body: bytes) -> None:
    await exchange.start(200, (b"content-type", b"text/event-stream"))
    await exchange.part(b"data: 1\n\n")
    await exchange.go()
    await exchange.part(b"data: 2\n\n", last=True)


async def _endless(exchange: Exchange, _body: bytes) -> None:
    await exchange.start()
    await exchange.part(MEGABYTE)
    await exchange.go()


async def _broken(exchange: Exchange, _body: bytes) -> None:
    headers = [(b"content-length", b"1000")] if exchange.query == "length" else []
    await exchange.start(200, *headers)
    await exchange.part(b"the beginning")


async def _download(exchange: Exchange, _body: bytes) -> None:
    await exchange.start()
    for _ in range(int(exchange.query)):
        await exchange.part(MEGABYTE)
    await exchange.part(b"", last=True)


async def _completions(exchange: Exchange, body: bytes) -> None:
    request = json.loads(body)
    if request["model"] == "failing":
        await exchange.answer({"error": {"message": "no such model", "type": "x", "param": None, "code": "gone"}}, 418)
    elif request.get("stream"):
        await _stream(exchange, request["model"])
    else:
        await exchange.answer(_completion("message", exchange.headers.get("x-openclaw-session-id", "none")))


async def _stream(exchange: Exchange, model: str) -> None:
    await exchange.start(200, (b"content-type", b"text/event-stream"))
    await exchange.part(_event("delta", "first"))
    if model == "breaking":
        return
    await exchange.go()
    await exchange.part(_event("delta", "second"))
    await exchange.part(b"data: [DONE]\n\n", last=True)


def _event(kind: str, content: str) -> bytes:
    return b"data: " + json.dumps(_completion(kind, content)).encode() + b"\n\n"


def _completion(kind: str, content: str) -> dict[str, Any]:
    noun = "chat.completion.chunk" if kind == "delta" else "chat.completion"
    choice = {"index": 0, "finish_reason": "stop", kind: {"role": "assistant", "content": content}}
    return {"id": "c", "object": noun, "created": 0, "model": "m", "choices": [choice]}


ROUTES: dict[str, Callable[[Exchange, bytes], Awaitable[None]]] = {
    "/status": _status,
    "/headers": _headers,
    "/redirect": _redirect,
    "/hang": _hang,
    "/events": _events,
    "/endless": _endless,
    "/broken": _broken,
    "/download": _download,
    "/v1/chat/completions": _completions,
}
