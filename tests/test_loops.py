"""The guard works on asyncio; elsewhere it says so and lets nobody through with an id of his own."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from sessionguard import ConfigurationError, SessionGuard
from sessionguard.testing import AppProbe, Exchange


def run_without_asyncio(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run it as another library would, up to where it waits for something of that library."""
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


@pytest.mark.parametrize("on_store_error", ["closed", "open"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_request_with_a_key_fails_where_no_loop_of_asyncio_runs(kind: str, on_store_error: Any) -> None:
    """The error says what to do, the application is not asked, and failing open does not mean this."""
    probe = AppProbe()
    guard = SessionGuard(probe, store="memory:", on_store_error=on_store_error)
    exchange = Exchange(guard, [(b"x-openclaw-session-key", b"key")], type=kind)

    with pytest.raises(ConfigurationError, match="asyncio only"):
        run_without_asyncio(exchange.run())
    assert probe.scopes == []


def test_the_start_fails_where_no_loop_of_asyncio_runs() -> None:
    """A server that has a lifespan never serves a request; the application does not hear of the start."""
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the application was started")

    guard = SessionGuard(app, store="memory:")
    with pytest.raises(StopIteration):
        run_without_asyncio(guard({"type": "lifespan"}, receive, send))

    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "asyncio only" in sent[0]["message"]
