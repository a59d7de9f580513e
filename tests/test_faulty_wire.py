"""The wire that fails on purpose: what reaches the server, and what the client sees."""

from __future__ import annotations

import contextlib
import queue
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from sessionguard.testing import FaultyWire, WireFault

PATIENCE = 10.0
"""Seconds until a test fails that waits for an answer."""
SILENCE = 0.1
"""Seconds without an answer that are taken for silence."""


class Echo(socketserver.StreamRequestHandler):
    """Answers every line with itself, and the end of all lines with a farewell."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            for line in self.rfile:
                self.server.heard.put(line)  # type: ignore[attr-defined]
                self.wfile.write(line)
            self.wfile.write(b"bye\n")


@pytest.fixture
def echo() -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.heard = queue.SimpleQueue()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def wire(echo: socketserver.ThreadingTCPServer) -> Iterator[FaultyWire]:
    with FaultyWire(*echo.server_address) as wire:  # type: ignore[misc]
        yield wire


@pytest.fixture
def client(wire: FaultyWire) -> Iterator[socket.socket]:
    with connect(wire) as client:
        yield client


def connect(wire: FaultyWire) -> socket.socket:
    return socket.create_connection((wire.host, wire.port), timeout=PATIENCE)


def ask(client: socket.socket, line: bytes, patience: float = PATIENCE) -> bytes | str:
    """Return the answer to a line, or how it was refused."""
    client.settimeout(patience)
    try:
        client.sendall(line)
        return client.recv(100)
    except TimeoutError:
        return "silence"
    except ConnectionResetError:
        return "reset"


def ask_much(client: socket.socket) -> bool:
    """Whether a line of a megabyte is answered to its last byte."""
    line = b"x" * 2**20 + b"\n"
    client.settimeout(PATIENCE)
    sender = threading.Thread(target=client.sendall, args=(line,))
    sender.start()
    received = b""
    while len(received) < len(line):
        received += client.recv(65_536)
    sender.join()
    return received == line


def test_everything_passes_a_wire_that_is_not_told_to_fail(client: socket.socket) -> None:
    """However much it is, in both directions."""
    assert ask_much(client)


def test_one_side_may_stop_speaking_and_go_on_listening(client: socket.socket) -> None:
    """The end of a direction is passed on, and of that direction alone."""
    client.shutdown(socket.SHUT_WR)

    assert client.recv(100) == b"bye\n"
    assert client.recv(100) == b""


@pytest.mark.parametrize(
    ("what", "direction", "seen", "heard"),
    [
        ("drop", "request", "silence", []),
        ("drop", "reply", "silence", [b"2\n"]),
        ("half-close", "request", b"bye\n", []),
        ("half-close", "reply", b"", [b"2\n"]),
        ("reset", "request", "reset", []),
        ("reset", "reply", "reset", [b"2\n"]),
    ],
)
def test_a_message_is_lost_in_a_way_and_in_a_direction(
    wire: FaultyWire,
    client: socket.socket,
    echo: socketserver.ThreadingTCPServer,
    what: str,
    direction: str,
    seen: object,
    heard: list[bytes],
) -> None:
    """A lost request never reaches the server, a lost reply is the answer to one that did."""
    ask(client, b"0\n")
    wire.fail(WireFault(what, direction, at=2))  # type: ignore[arg-type]

    assert ask(client, b"1\n") == b"1\n"
    assert ask(client, b"2\n", SILENCE if seen == "silence" else PATIENCE) == seen
    lines: queue.SimpleQueue[bytes] = echo.heard  # type: ignore[attr-defined]
    expected = [b"0\n", b"1\n", *heard]
    assert [lines.get(timeout=PATIENCE) for _ in expected] == expected
    assert lines.empty()


@pytest.mark.parametrize("direction", ["request", "reply"])
def test_nothing_comes_after_what_was_dropped(wire: FaultyWire, client: socket.socket, direction: str) -> None:
    """A stream has no holes; another connection has nothing to do with it."""
    wire.fail(WireFault("drop", direction))  # type: ignore[arg-type]
    lost = [ask(client, line, SILENCE) for line in (b"1\n", b"2\n")]
    with connect(wire) as other:
        answer = ask(other, b"3\n")

    assert (lost, answer) == (["silence", "silence"], b"3\n")
    assert wire.connections == 2


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["request", "reply"])
def test_a_delayed_message_arrives(wire: FaultyWire, client: socket.socket, direction: str) -> None:
    """Late, and before the next one."""
    wire.fail(WireFault("delay", direction, seconds=6 * SILENCE))  # type: ignore[arg-type]
    early = ask(client, b"1\n", SILENCE)
    client.settimeout(PATIENCE)

    assert early == "silence"
    assert client.recv(100) == b"1\n"
    assert ask(client, b"2\n") == b"2\n"


def test_a_lasting_fault_meets_every_later_message_until_it_is_healed(wire: FaultyWire) -> None:
    """On whatever connection."""
    wire.fail(WireFault("reset", "reply", at=2, lasting=True))
    seen = []
    for number in range(4):
        if number == 3:
            wire.heal()
        with connect(wire) as client:
            seen.append(ask(client, b"%d\n" % number))

    assert seen == [b"0\n", "reset", "reset", b"3\n"]
    assert (wire.count("request"), wire.count("reply")) == (1, 1)


def test_a_message_of_many_packets_is_one(wire: FaultyWire, client: socket.socket) -> None:
    """It ends when the other side speaks, so that a fault meets the whole of it or nothing."""
    ask(client, b"1\n")
    wire.fail(WireFault("reset", "reply", at=2))

    assert ask_much(client)
    assert (wire.count("request"), wire.count("reply")) == (1, 1)
    assert ask(client, b"2\n") == "reset"


def test_a_server_that_is_gone_resets_its_clients() -> None:
    """There is nothing behind the wire, and a client can learn it as early as while it connects."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with FaultyWire("127.0.0.1", port) as wire, pytest.raises(ConnectionResetError), connect(wire) as client:
        client.sendall(b"1\n")
        client.recv(100)


def test_the_end_of_the_wire_is_the_end_of_its_connections(echo: socketserver.ThreadingTCPServer) -> None:
    """Nothing listens any more, and nobody waits for ever."""
    with FaultyWire(*echo.server_address) as wire:  # type: ignore[misc]
        client = connect(wire)
        assert ask(client, b"1\n") == b"1\n"
    with client:
        client.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with pytest.raises(ConnectionRefusedError):
        connect(wire)
