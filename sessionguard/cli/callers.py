"""Clients with one kept connection each, so that it is known which process answers them before they speak."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from sessionguard.cli.server import PAUSE_SECONDS, START_SECONDS, Server

REPLY_SECONDS = 10.0

T = TypeVar("T")

_ONE_CONNECTION = httpx.Limits(max_connections=1, keepalive_expiry=None)


@contextlib.contextmanager
def callers(server: Server, processes: int, each: int) -> Iterator[Sequence[httpx.Client]]:
    """Connect until `processes` of the server's processes hold `each` of the yielded clients' connections.

    Raises ServerFailed when the server ends or that takes more than `START_SECONDS`, and httpx.HTTPError.
    """
    deadline = time.monotonic() + START_SECONDS
    held: defaultdict[int, list[httpx.Client]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        while [len(clients) for clients in held.values()].count(each) < processes:
            server.check()
            if time.monotonic() > deadline:
                raise server.failure(f"answered from {len(held)} of {processes} processes in {START_SECONDS:g} s")
            clients = [stack.enter_context(_client(server.url)) for _ in range(processes * each)]
            for client, process in zip(clients, at_once(_process, clients), strict=True):
                _keep_or_close(client, held[process], each)
            time.sleep(PAUSE_SECONDS)
        yield list(itertools.chain.from_iterable(held.values()))


def at_once(ask: Callable[..., T], *arguments: Sequence[Any]) -> list[T]:
    """Call `ask` as `map` does, but with all calls at the same moment, each in a thread of its own."""
    count = len(arguments[0])
    line = threading.Barrier(count)

    def start(*own: Any) -> T:
        line.wait()
        return ask(*own)

    with ThreadPoolExecutor(count) as threads:
        try:
            return list(threads.map(start, *arguments))
        finally:
            # Interrupted before all have started, those in line must not wait for the rest.
            line.abort()


def _client(url: str) -> httpx.Client:
    # Loopback needs neither the system's certificates, which take long to load, nor a proxy from the environment.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.Client(base_url=url, limits=_ONE_CONNECTION, timeout=REPLY_SECONDS, trust_env=False, verify=context)


def _process(client: httpx.Client) -> int:
    return int(client.get("/").raise_for_status().json()["process"])


def _keep_or_close(client: httpx.Client, kept: list[httpx.Client], limit: int) -> None:
    if len(kept) < limit:
        kept.append(client)
    else:
        client.close()
