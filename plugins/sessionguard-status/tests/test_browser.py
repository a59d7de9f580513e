"""The page in a real browser, before a real server with a store on disk: what somebody sees who looks at it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import LiveServer, uvicorn
from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
QUIET += ["--disable-component-update", "--disable-quic"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="there is no Chromium on PATH; apt-get install chromium"
    ),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    env = {
        "SESSIONGUARD_STORE": f"disk://{tmp_path / 'sessions'}",
        "SESSIONGUARD_STATUS_PATH": "/_sessions",
        "SESSIONGUARD_STATUS_PRINCIPALS": "ada",
        "SESSIONGUARD_TURNS_MODE": "wait",
    }
    with uvicorn("status_app:app", tmp_path, app_dir=HERE, env=env) as server:
        yield server


async def use(server: LiveServer, *paths: str) -> None:
    """Send requests of one conversation, all at once."""
    headers = {"x-user": "ada", "x-openclaw-session-key": "my-chat"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        await asyncio.gather(*(client.get(path) for path in paths))


async def opened(browser: Browser, server: LiveServer, user: str = "ada") -> tuple[Page, int]:
    page = await browser.new_page(extra_http_headers={"x-user": user})
    response = await page.goto(f"{server.url}/_sessions")
    assert response is not None
    return page, response.status


async def test_what_is_on_the_page(server: LiveServer) -> None:
    """Conversations, a plot with a bar that is really there, waits, and a store in good health."""
    await use(server, "/slow", "/slow", "/slow")
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page, status = await opened(browser, server)
        assert status == 200
        assert await page.title() == "sessionguard"
        rows = await page.locator("#conversations tr").all_inner_texts()
        assert len(rows) == 2
        assert "my-chat" not in await page.content()
        origins = await page.locator("#origins").inner_text()
        bars = page.locator("#plot rect")
        counted = [await bar.locator("title").text_content() for bar in await bars.all()]
        boxes = [await bar.bounding_box() for bar in await bars.all()]
        assert "1 new, 0 min ago" in counted or "1 new, 1 min ago" in counted
        assert "new\t1" in origins
        assert all(box is not None and box["width"] > 1 and box["height"] > 1 for box in boxes)
        assert "3 admitted" in await page.locator("#waits").inner_text()
        assert "answers in" in await page.locator("#store .well").inner_text()
        await browser.close()


async def test_a_stranger_sees_an_error_and_nothing_else(server: LiveServer) -> None:
    await use(server, "/")
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page, status = await opened(browser, server, "mallory")
        assert status == 403
        assert await page.locator("table").count() == 0
        assert "session_forbidden" in await page.inner_text("body")
        await browser.close()


async def test_the_page_fetches_and_runs_nothing(server: LiveServer) -> None:
    """One request for the page itself; not a message in the console of the browser but for the icon it asks for."""
    asked: list[str] = []
    said: list[str] = []
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = await browser.new_page(extra_http_headers={"x-user": "ada"})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        await page.goto(f"{server.url}/_sessions", wait_until="networkidle")
        await browser.close()

    assert [url for url in asked if not url.endswith("/favicon.ico")] == [f"{server.url}/_sessions"]
    assert not [text for text in said if "favicon" not in text]
