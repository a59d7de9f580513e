"""The headers that requests of the suite send, and what is compared of their answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
from live import LiveServer
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect
from websockets.typing import Origin

RESERVED = {"x-openclaw-session-key": "cron:nightly"}
PAGE = Origin("https://page.example")
"""What browsers say they show; quart-cors refuses WebSockets of others."""

STATUS = "x-sessionguard-status"


def new_key() -> dict[str, str]:
    """The header of a conversation nobody has begun."""
    return {"x-openclaw-session-key": f"room-{uuid.uuid4()}"}


def answer(response: httpx.Response) -> tuple[int, str | None, str | None, str]:
    """What a client notices of an answer, the guard's own header aside."""
    headers = response.headers
    return response.status_code, headers.get("content-type"), headers.get("allow"), response.text


def handshake(server: LiveServer, headers: Mapping[str, str]) -> tuple[Response, dict[str, Any]]:
    """Return the response to a WebSocket's handshake and what the handler saw; nothing when it was never reached."""
    try:
        with connect(f"{server.ws_url}/ws", additional_headers=headers, origin=PAGE, proxy=None) as socket:
            assert socket.response is not None
            return socket.response, json.loads(socket.recv(timeout=30))
    except InvalidStatus as refusal:
        return refusal.response, {}
