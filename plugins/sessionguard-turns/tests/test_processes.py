"""Turns across the processes of a host, and a gateway that resolves keys by itself behind several proxies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from turns_fleet import HERE, Fleet, FleetContract, Serve, client


class OnDisk:
    """The fixture of the classes below."""

    reach = "host"

    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"disk://{tmp_path / 'sessions'}"


class TestDisk(OnDisk, FleetContract):
    """Leases in a file beside the conversations."""


class TestGateway(OnDisk, Fleet):
    """A proxy cannot see which session its upstream resolves."""

    @pytest.mark.parametrize(("mode", "forks"), [("first", False), ("off", True)])
    async def test_a_gateway_behind_several_proxies_forks_only_without_the_gate(
        self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, forks: bool
    ) -> None:
        """Six requests open each conversation, half of them by way of either proxy."""
        with uvicorn("turns_app:gateway", tmp_path, app_dir=HERE) as upstream:
            monkeypatch.setenv("UPSTREAM", upstream.url)
            proxies = [serve("turns_served:create_proxy", mode=mode) for _ in range(2)]
            async with client() as http:
                sessions = await asyncio.gather(*(_sessions(http, proxies, f"chat-{number}") for number in range(8)))

        assert forks == (max(sessions) > 1)


async def _sessions(http: httpx.AsyncClient, proxies: list[LiveServer], key: str) -> int:
    headers = {"x-openclaw-session-key": key}
    answers = await asyncio.gather(*(http.post(proxies[each % 2].url, headers=headers) for each in range(6)))
    return len({answer.text for answer in answers})
