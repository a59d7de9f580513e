"""A client that keeps a server busy: a number of connections, each with one request under way at any time."""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from collections.abc import Iterator

from benchmarks.lanes import LONGEST_ANSWER, connect
from benchmarks.programs.contenders import BODY, EXTRA_HEADERS, HEADERS, KEY, KEY_HEADER

CONNECTIONS = 32


class Client:
    """`connections` to the server at `address`; `new_keys` names a conversation of its own in every request."""

    _numbers = itertools.count()  # Of all clients, so that a key is new to whatever store there is.

    def __init__(self, address: tuple[str, int], contender: str, *, new_keys: bool = False) -> None:
        self._address = address
        self._headers = [*HEADERS, *EXTRA_HEADERS.get(contender, [])]
        self._new_keys = new_keys
        cookie = self._first_cookie()
        self._head = b"POST /v1/chat/completions HTTP/1.1\r\n" + b"".join(
            b"%s: %s\r\n" % pair for pair in [*self._headers, *cookie]
        )
        self._selector = selectors.DefaultSelector()
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(address)
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def drive(self, requests: int) -> float:
        """Send so many requests and take all answers; returns the seconds that took."""
        messages = self._messages(requests)
        open_ends = dict.fromkeys((key.fileobj for key in self._selector.get_map().values()), b"")
        started = time.perf_counter()
        under_way = sum(self._send_next(connection, messages) for connection in open_ends)
        while under_way:
            ready = self._selector.select(LONGEST_ANSWER)
            if not ready:
                raise TimeoutError("the server does not answer")
            for key, _ in ready:
                connection: socket.socket = key.fileobj  # type: ignore[assignment]
                answer = open_ends[connection] + connection.recv(65536)
                if not answer.endswith(BODY):
                    if not answer:
                        raise ConnectionError("the server has hung up")
                    open_ends[connection] = answer
                    continue
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise ConnectionError(answer.decode("latin-1"))
                open_ends[connection] = b""
                under_way += self._send_next(connection, messages) - 1
        return time.perf_counter() - started

    def _send_next(self, connection: socket.socket, messages: Iterator[bytes]) -> int:
        message = next(messages, None)
        if message is None:
            return 0
        connection.send(message)
        return 1

    def _messages(self, requests: int) -> Iterator[bytes]:
        if not self._new_keys:
            return itertools.repeat(self._head + b"%s: %s\r\n\r\n" % (KEY_HEADER, KEY), requests)
        head = self._head + KEY_HEADER + b": new-"
        return (b"%s%d\r\n\r\n" % (head, next(self._numbers)) for _ in range(requests))

    def _first_cookie(self) -> list[tuple[bytes, bytes]]:
        """Open the conversation as soon as the server answers, and return the cookie it sets, as a browser would."""
        headers = [*self._headers, (KEY_HEADER, KEY)]
        head = b"POST / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in headers) + b"\r\n"
        with connect(*self._address) as connection:
            connection.settimeout(30)
            connection.sendall(head)
            answer = b""
            while not answer.endswith(BODY):
                received = connection.recv(65536)
                if not received:
                    raise ConnectionError(answer.decode("latin-1"))
                answer += received
        lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        cookies = [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"set-cookie:")]
        return [(b"cookie", cookie.partition(b";")[0]) for cookie in cookies]
