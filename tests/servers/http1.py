"""A request written byte by byte to a socket: no client stands between a test and a server and mends what it sends."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterable

from servers.header_cases import NO_KEY, REFUSED

SECONDS = 30


def decide(port: int, lines: Iterable[bytes]) -> str:
    """Return what was made of a request whose head has these lines."""
    head = [b"GET / HTTP/1.1", b"connection: close", b"host: 127.0.0.1", *lines, b"", b""]
    return decision_of(exchange(port, b"\r\n".join(head)))


def exchange(port: int, sent: bytes) -> bytes:
    """Send these bytes and return all that comes back until the server closes, even in the middle of the sending."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        while chunk := connection.recv(65536):
            received += chunk
    return bytes(received)


def decision_of(response: bytes) -> str:
    """Return the canonical key that the application was told, or that there was none, or that it was never asked."""
    status = re.match(rb"HTTP/1\.[01] (\d{3})", response)
    if status is None:
        assert response == b"", response
        return REFUSED
    return decision(int(status[1]), response.partition(b"\r\n\r\n")[2])


def decision(status: int, body: bytes) -> str:
    if 400 <= status < 500:
        return REFUSED
    assert status == 200, (status, body)
    content = re.search(rb"\{.*\}", body, re.DOTALL)
    assert content is not None, body
    key: str | None = json.loads(content[0])["session_key"]
    return key or NO_KEY
