"""ASGI as values: what a message means."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from sessionguard.asgi import Receive, Scope, Send, ends_response, handing_on, single_callable
from sessionguard.testing import AppProbe, Exchange


@pytest.mark.parametrize(
    ("message", "ends"),
    [
        pytest.param({"type": "http.response.start", "status": 200}, False, id="start"),
        pytest.param({"type": "http.response.body", "body": b"", "more_body": True}, False, id="a piece"),
        pytest.param({"type": "http.response.body", "body": b"", "more_body": False}, True, id="the last piece"),
        pytest.param({"type": "http.response.body"}, True, id="an empty body"),
        pytest.param({"type": "http.response.pathsend", "path": "/file"}, True, id="a file"),
        pytest.param({"type": "http.response.trailers", "more_trailers": True}, False, id="a trailer"),
        pytest.param({"type": "http.response.trailers"}, True, id="the last trailer"),
        pytest.param({"type": "websocket.close"}, False, id="a WebSocket"),
    ],
)
def test_a_server_goes_on_to_the_next_request_with_the_last_message(message: dict[str, Any], ends: bool) -> None:
    assert ends_response(message) is ends


async def test_what_hands_on_without_a_coroutine_is_an_asgi_3_application() -> None:
    """A plain function of three arguments would be taken for one of ASGI 2, and called with the scope alone."""
    probe = AppProbe()

    @handing_on
    def passing(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return probe(scope, receive, send)

    exchange = await Exchange(single_callable(passing)).run()

    assert exchange.status == 200
