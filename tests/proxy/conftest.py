"""A real upstream process, and what the tests need to talk to it and to serve a proxy in front of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, running, uvicorn
from served import served

HERE = Path(__file__).parent
PATIENCE = 20.0


class Upstream:
    """The upstream as a test sees it: what it was sent, and the signals that both sides wait for."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def requests(self) -> list[dict[str, Any]]:
        """Return what has arrived, oldest first."""
        response = await self._client.get(f"{self.url}/control/requests")
        return list(response.json())

    async def last(self) -> dict[str, Any]:
        """Return the latest request."""
        return (await self.requests())[-1]

    async def set(self, signal: str) -> None:
        """Let whoever waits for `signal` go on."""
        await self._client.post(f"{self.url}/control/set?{signal}")

    async def wait(self, signal: str) -> None:
        """Return when `signal` is set; fails after a generous time."""
        await self._client.get(f"{self.url}/control/wait?{signal}")


@pytest.fixture(scope="module")
def upstream_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The upstream process, shared by the tests of one module."""
    options = ("--no-server-header", "--no-date-header", "--no-proxy-headers", "--lifespan", "off")
    with uvicorn("upstream:app", tmp_path_factory.mktemp("upstream"), *options, app_dir=HERE) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that waits long enough and asks nothing of the environment."""
    # Nothing here speaks TLS, and reading the certificates takes longer than most of the tests.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def upstream(upstream_server: LiveServer, client: httpx.AsyncClient) -> Upstream:
    """The upstream, with nothing in its records."""
    await client.post(f"{upstream_server.url}/control/reset")
    return Upstream(upstream_server.url, client)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serve an application with uvicorn on a real socket of this process, lifespan included; returns its URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(app: Callable[..., Any], **options: Any) -> str:
            return await stack.enter_async_context(served(app, **options))

        yield start


@pytest.fixture(scope="session")
def standalone_proxy() -> Callable[..., contextlib.AbstractContextManager[LiveServer]]:
    """Run the example as its README line says, as a process."""
    import sys

    from live import free_port

    example = HERE.parents[1] / "examples" / "standalone_proxy.py"

    def start(upstream: str, tmp_path: Path, *options: str) -> contextlib.AbstractContextManager[LiveServer]:
        port = free_port()
        command = [sys.executable, str(example), "--upstream", upstream, "--port", str(port), *options]
        return running(command, port, tmp_path)

    return start
