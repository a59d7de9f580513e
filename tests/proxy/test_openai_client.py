"""The openai client, unchanged but for one header, talks to its server through the standalone proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from live import LiveServer, free_port

if TYPE_CHECKING:
    from openai import AsyncOpenAI  # Its import takes longer than all other tests take to be collected.

Start = Callable[..., contextlib.AbstractContextManager[LiveServer]]
Upstream = Any
WORKERS = 2
MESSAGES: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def proxy(
    standalone_proxy: Start, upstream_server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """The example server with several worker processes, shared by the tests; each test has its own keys."""
    directory = tmp_path_factory.mktemp("proxy")
    options = ("--store", f"disk://{directory / 'sessions'}", "--workers", str(WORKERS))
    with standalone_proxy(upstream_server.url, directory, *options) as server:
        yield server


@contextlib.asynccontextmanager
async def conversation(url: str, key: str, **headers: str) -> AsyncIterator[AsyncOpenAI]:
    """The client of a user who names the conversation in a default header."""
    from openai import AsyncOpenAI

    named = {"x-openclaw-session-key": key, "x-name": key, **headers}
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=20, default_headers=named) as user:
        yield user


async def ask(user: AsyncOpenAI) -> tuple[str, str | None]:
    """Return the session status of one completion and its text, which is the id the upstream was sent."""
    response = await user.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    return response.headers["x-sessionguard-status"], response.parse().choices[0].message.content


@pytest.mark.slow
async def test_one_key_is_one_id_from_the_first_completion_on(proxy: LiveServer, upstream: Upstream) -> None:
    """The first request of a conversation is new, the second finds what the first has left."""
    async with conversation(proxy.url, "plain") as user:
        first_status, first_id = await ask(user)
        second_status, second_id = await ask(user)

    assert ("new", "existing") == (first_status, second_status)
    assert (first_id, False) == (second_id, first_id in (None, "none"))


@pytest.mark.slow
async def test_one_new_key_at_many_requests_and_workers_is_one_id_and_one_new(
    proxy: LiveServer, upstream: Upstream
) -> None:
    """Thirty clients with a connection each, two processes: one conversation."""
    async with contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(conversation(proxy.url, "crowded")) for _ in range(30)]
        answers = await asyncio.gather(*(ask(user) for user in users))

    statuses = [status for status, _ in answers]
    assert (1, 1) == (len({session_id for _, session_id in answers}), statuses.count("new"))
    assert {"new", "joined", "existing"} >= set(statuses)
    assert len(answers) == len(await upstream.requests())


async def test_a_forged_id_does_not_reach_the_upstream(proxy: LiveServer, upstream: Upstream) -> None:
    """The id is the guard's to give."""
    async with conversation(proxy.url, "forged", **{"x-openclaw-session-id": "forged"}) as user:
        _, session_id = await ask(user)

    assert "forged" != session_id


async def test_a_streamed_completion_arrives_chunk_by_chunk(proxy: LiveServer, upstream: Upstream) -> None:
    """The upstream sends the second chunk only when the client has read the first."""
    async with conversation(proxy.url, "streamed") as user:
        stream = await user.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        first = (await anext(stream)).choices[0].delta.content
        await upstream.set("streamed-go")
        rest = [chunk.choices[0].delta.content async for chunk in stream]

    assert ("first", ["second"]) == (first, rest)


@pytest.mark.slow
async def test_leaving_a_stream_cancels_the_completion_upstream(proxy: LiveServer, upstream: Upstream) -> None:
    """An agent must not go on thinking for nobody."""
    async with conversation(proxy.url, "left") as user:
        stream = await user.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        await anext(stream)
        await stream.close()

        await upstream.wait("left-left")


async def test_a_stream_that_breaks_off_is_an_error(proxy: LiveServer, upstream: Upstream) -> None:
    """What was said is read, and the end is not taken for one."""
    import openai

    async with conversation(proxy.url, "broken") as user:
        stream = await user.chat.completions.create(model="breaking", messages=MESSAGES, stream=True)
        said = (await anext(stream)).choices[0].delta.content
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            await anext(stream)

    assert "first" == said


async def test_an_error_of_the_model_server_is_passed_on(proxy: LiveServer, upstream: Upstream) -> None:
    """Status and body are the upstream's, so the client raises what it always raises."""
    import openai

    async with conversation(proxy.url, "failing") as user:
        with pytest.raises(openai.APIStatusError) as failed:
            await user.chat.completions.create(model="failing", messages=MESSAGES)

    assert (418, "gone") == (failed.value.status_code, failed.value.code)


async def test_a_refusal_of_the_guard_is_an_error_of_the_client(proxy: LiveServer, upstream: Upstream) -> None:
    """A key that is not legal never reaches the upstream."""
    import openai

    async with conversation(proxy.url, "cron:job") as user:
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(user)

    assert ("reserved_session_key", []) == (refused.value.code, await upstream.requests())


@pytest.mark.slow
async def test_an_upstream_that_is_down_is_an_error_of_the_client(standalone_proxy: Start, tmp_path: Path) -> None:
    """The envelope is one the client reads, code and all."""
    import openai

    upstream_url = f"http://127.0.0.1:{free_port()}"
    store = f"disk://{tmp_path / 'sessions'}"

    with standalone_proxy(upstream_url, tmp_path, "--store", store) as proxy:
        async with conversation(proxy.url, "down") as user:
            with pytest.raises(openai.InternalServerError) as failed:
                await ask(user)

    assert (502, "upstream_unreachable") == (failed.value.status_code, failed.value.code)
