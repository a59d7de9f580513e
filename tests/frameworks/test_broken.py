"""Cells that fail without a guard fail with one, in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from frameworks.requests import handshake, new_key
from live import LiveServer

if TYPE_CHECKING:
    from frameworks.conftest import Serve


def request(server: LiveServer) -> int:
    return httpx.get(f"{server.url}/session", headers=new_key(), timeout=30, trust_env=False).status_code


def upload(server: LiveServer) -> int:
    upload = httpx.post(f"{server.url}/upload", headers=new_key(), content=b"a", timeout=30, trust_env=False)
    return upload.status_code


def websocket(server: LiveServer) -> int:
    return handshake(server, new_key())[0].status_code


ATTEMPTS = {"requests": request, "uploads": upload, "websockets": websocket}


@pytest.mark.everywhere
def test_broken_with_and_without_the_guard(broken: str, server: LiveServer, serve: Serve) -> None:
    """A framework and a server that do not go together in this are no better and no worse for the guard."""
    with serve(app="unguarded") as unguarded:
        assert [500, 500] == [ATTEMPTS[broken](each) for each in (server, unguarded)]
