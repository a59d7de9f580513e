"""A gateway that resolves keys by itself, behind the proxy: no fork, no failed request, the whole conversation shown.

`tox -e openclaw` has the same shapes with real gateways; the stand-in here has their order of events.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import served
from sessionguard_turns import TurnGate, entrance
from turns_openclaw import RELEASES, StandIn

from sessionguard import SessionGuard
from sessionguard.proxy import ReverseProxy

pytestmark = pytest.mark.slow
_numbers = itertools.count()
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Conversation:
    """The requests of one new key; each message is one of `sent`."""

    def __init__(self, gateway: StandIn, http: httpx.AsyncClient, stream: bool) -> None:
        self.key = f"key-{next(_numbers)}"
        self.sent: list[str] = []
        self.shown: list[list[str]] = []
        self.failures: list[str] = []
        self._gateway = gateway
        self._http = http
        self._stream = stream

    async def ask(self, url: str, *, has_begun: asyncio.Event | None = None) -> None:
        """Send the next message; `has_begun` is set at the first event of the response."""
        message = f"{self.key}-{len(self.sent)}"
        self.sent.append(message)
        json_body = {"message": message, "stream": self._stream}
        headers = {"x-openclaw-session-key": self.key}
        async with self._http.stream("POST", f"{url}/v1/chat/completions", json=json_body, headers=headers) as answer:
            lines = []
            async for line in answer.aiter_lines():
                lines.append(line)
                if has_begun is not None:
                    has_begun.set()
        told = [json.loads(line.removeprefix("data: ")) for line in lines if "shown" in line or "error" in line]
        if answer.status_code != 200 or "shown" not in told[0]:
            self.failures.append(f"{answer.status_code}: {told}")
        else:
            self.shown.append(told[0]["shown"])

    @property
    def sessions(self) -> int:
        return sum(any(each.startswith(f"{self.key}-") for each in said) for said in self._gateway.transcripts.values())

    def is_whole(self) -> bool:
        """Whether there is one session, no failure, and a turn that was shown every message."""
        longest = max(map(len, self.shown), default=0)
        return (self.sessions, self.failures, longest) == (1, [], len(self.sent))


@pytest.fixture(params=RELEASES)
async def gateway(request: pytest.FixtureRequest) -> AsyncIterator[StandIn]:
    stand_in = StandIn(RELEASES[request.param])
    async with served(stand_in) as stand_in.url:  # type: ignore[attr-defined]
        yield stand_in


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


Start = Callable[[], contextlib.AbstractAsyncContextManager[str]]


@pytest.fixture
def proxy(gateway: Any, tmp_path: Path) -> Start:
    """Serve a proxy in front of the gateway, as `sessionguard proxy` does; all of them share a store."""

    def start() -> contextlib.AbstractAsyncContextManager[str]:
        guard = SessionGuard(TurnGate(ReverseProxy(gateway.url)), store=f"disk://{tmp_path / 'sessions'}")
        return served(guard, proxy_headers=False)

    return start


@STREAMED
async def test_without_a_proxy_concurrent_first_requests_fork_or_fail(
    gateway: Any, http: httpx.AsyncClient, stream: bool
) -> None:
    """So the stand-in is worth something."""
    conversation = Conversation(gateway, http, stream)
    await asyncio.gather(*(conversation.ask(gateway.url) for _ in range(6)))

    assert not conversation.is_whole()


@STREAMED
@pytest.mark.parametrize("count", [2, 6])
async def test_concurrent_first_requests_are_one_conversation(
    gateway: Any, proxy: Start, http: httpx.AsyncClient, stream: bool, count: int
) -> None:
    conversation = Conversation(gateway, http, stream)
    async with proxy() as url:
        await asyncio.gather(*(conversation.ask(url) for _ in range(count)))

    assert conversation.is_whole(), vars(conversation)


@STREAMED
async def test_two_workers_are_one_conversation(
    gateway: Any, proxy: Start, http: httpx.AsyncClient, stream: bool
) -> None:
    conversation = Conversation(gateway, http, stream)
    async with proxy() as one, proxy() as other:
        await asyncio.gather(*(conversation.ask(url) for url in (one, other) * 3))

    assert conversation.is_whole(), vars(conversation)


async def test_a_follow_up_while_the_first_answer_streams_is_one_conversation(
    gateway: Any, proxy: Start, http: httpx.AsyncClient
) -> None:
    conversation, has_begun = Conversation(gateway, http, stream=True), asyncio.Event()
    async with proxy() as url, asyncio.TaskGroup() as requests:
        requests.create_task(conversation.ask(url, has_begun=has_begun))
        await has_begun.wait()
        requests.create_task(conversation.ask(url))

    assert conversation.is_whole(), vars(conversation)


@STREAMED
async def test_a_restart_of_the_proxy_between_turns_is_one_conversation(
    gateway: Any, proxy: Start, http: httpx.AsyncClient, stream: bool
) -> None:
    conversation = Conversation(gateway, http, stream)
    async with proxy() as url:
        await conversation.ask(url)
    async with proxy() as url:
        await asyncio.gather(conversation.ask(url), conversation.ask(url))

    assert conversation.is_whole(), vars(conversation)


@STREAMED
async def test_a_client_that_leaves_in_the_first_turn_forks_nothing(
    gateway: Any, proxy: Start, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Its own answer is lost; the others find the session that its request has made."""
    monkeypatch.setattr(entrance, "ABANDONED_SECONDS", 2.0)
    conversation = Conversation(gateway, http, stream)
    async with proxy() as url:
        leaving = asyncio.create_task(conversation.ask(url))
        await asyncio.sleep(0.03)  # The gateway has the request and not yet the row, in most runs.
        others = asyncio.gather(*(conversation.ask(url) for _ in range(2)))
        leaving.cancel()
        await others

    assert (1, []) == (conversation.sessions, conversation.failures), vars(conversation)
    assert conversation.sent[1:] == [
        message for message in max(conversation.shown, key=len) if message in conversation.sent[1:]
    ]
