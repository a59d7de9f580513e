"""A real HTTP/2 connection in the clear whose client sends headers as they are, legal or not."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from servers.header_cases import REFUSED
from servers.http1 import SECONDS, decision

Header = tuple[bytes, bytes]

PSEUDO: Sequence[Header] = (
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"127.0.0.1"),
    (b":path", b"/"),
)
AS_THEY_ARE = H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)


class Answers:
    """What came back on each stream of one connection."""

    def __init__(self) -> None:
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.bodies: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.is_closed = False

    def note(self, event: Event, connection: H2Connection) -> None:
        if isinstance(event, ResponseReceived):
            self.headers[event.stream_id] = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (StreamEnded, StreamReset)):
            self.ended.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.is_closed = event.error_code != ErrorCodes.NO_ERROR

    def decision(self, stream: int) -> str:
        """A stream that was reset and a connection that was closed are refusals."""
        if stream not in self.headers:
            return REFUSED
        return decision(int(self.headers[stream][b":status"]), bytes(self.bodies[stream]))


def exchange(port: int, requests: Iterable[Sequence[Header]]) -> Answers:
    """Send all requests at once on one connection, a stream each, and wait for all answers."""
    connection, answers = H2Connection(AS_THEY_ARE), Answers()
    # In Python, Huffman's code of a mebibyte takes minutes.
    connection.encoder.encode = functools.partial(connection.encoder.encode, huffman=False)
    connection.initiate_connection()
    streams = {2 * number + 1: headers for number, headers in enumerate(requests)}
    for stream, headers in streams.items():
        connection.send_headers(stream, [*PSEUDO, *headers], end_stream=True)
    with socket.create_connection(("127.0.0.1", port), SECONDS) as wire, contextlib.suppress(ConnectionError):
        wire.sendall(connection.data_to_send())
        while not (answers.is_closed or streams.keys() <= answers.ended) and (received := wire.recv(65536)):
            try:
                for event in connection.receive_data(received):
                    answers.note(event, connection)
            except ProtocolError:
                break
            wire.sendall(connection.data_to_send())
    return answers


def decide(port: int, lines: Iterable[bytes]) -> str:
    """Return what was made of a request with these header lines."""
    headers = [(name, value[1:]) for name, _, value in (line.partition(b":") for line in lines)]
    return exchange(port, [headers]).decision(1)
