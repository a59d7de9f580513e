"""The example server as a process: it starts or says why not, keeps its conversations, and ends when told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, free_port

Start = Callable[..., contextlib.AbstractContextManager[LiveServer]]
Upstream = Any
EXAMPLE = Path(__file__).parents[2] / "examples" / "standalone_proxy.py"
KEYED = {"x-openclaw-session-key": "k"}


async def id_upstream(proxy: LiveServer, upstream: Upstream, client: httpx.AsyncClient) -> str:
    """Send a request with the key and return the id that came with it to the upstream."""
    await client.get(proxy.url, headers=KEYED)
    return str(dict((await upstream.last())["headers"])["x-openclaw-session-id"])


@pytest.mark.slow
async def test_a_conversation_outlives_the_server(
    standalone_proxy: Start, upstream: Upstream, client: httpx.AsyncClient, tmp_path: Path, store_url: str
) -> None:
    """A new process with the same store goes on with the same id."""
    ids = []
    for _ in range(2):
        with standalone_proxy(upstream.url, tmp_path, "--store", store_url) as proxy:
            ids.append(await id_upstream(proxy, upstream, client))

    assert ids[0] == ids[1]


@pytest.mark.slow
async def test_without_an_option_the_store_is_that_of_the_environment(
    standalone_proxy: Start,
    upstream: Upstream,
    client: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`SESSIONGUARD_STORE` is read where `--store` is silent."""
    monkeypatch.setenv("SESSIONGUARD_STORE", f"disk://{tmp_path / 'elsewhere'}")

    with standalone_proxy(upstream.url, tmp_path) as proxy:
        await id_upstream(proxy, upstream, client)

    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.slow
async def test_the_response_has_only_the_upstreams_headers_and_the_guards(
    standalone_proxy: Start, upstream: Upstream, client: httpx.AsyncClient, tmp_path: Path, store_url: str
) -> None:
    """The server adds no `server` and no `date` of its own."""
    with standalone_proxy(upstream.url, tmp_path, "--store", store_url) as proxy:
        response = await client.get(proxy.url, headers=KEYED)

    assert ["content-type", "content-length", "x-sessionguard-status"] == list(response.headers)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_signal_ends_the_server_cleanly_and_lets_a_stream_finish(
    standalone_proxy: Start,
    upstream: Upstream,
    client: httpx.AsyncClient,
    tmp_path: Path,
    store_url: str,
    workers: str,
) -> None:
    """SIGTERM stops new work; what is under way is served to its end, and nothing is left running."""
    with standalone_proxy(upstream.url, tmp_path, "--store", store_url, "--workers", workers) as proxy:
        async with client.stream("GET", f"{proxy.url}/events", headers={"x-name": "it"}) as response:
            events = response.aiter_raw()
            await anext(events)
            while proxy.output.count("Application startup complete.") < int(workers):
                await asyncio.sleep(0.01)
            proxy.process.send_signal(signal.SIGTERM)
            await upstream.set("it-go")
            rest = b"".join([event async for event in events])
        code = proxy.process.wait(20)

    assert (b"data: 2\n\n", True) == (rest, code in (0, -signal.SIGTERM))
    assert int(workers) == proxy.output.count("Application shutdown complete.")
    assert "Traceback" not in proxy.output and "ERROR" not in proxy.output


BAD_OPTIONS = [
    ([], "the following arguments are required: --upstream"),
    (["--upstream", "ftp://host"], "upstream: 'ftp://host' is not legal; expected http://host:port"),
    (["--upstream", "http://host:port"], "upstream: 'http://host:port' is not legal"),
    (["--upstream", "http://host", "--port", "http"], "argument --port: invalid int value: 'http'"),
    (["--upstream", "http://host", "--port", "65536"], "--port: 65536 is not a port; expected 0 to 65535"),
    (["--upstream", "http://host", "--workers", "0"], "--workers: 0 is too few; expected 1 or more"),
    (["--upstream", "http://host", "--store", "floppy:///a"], "floppy"),
    (["--upstream", "http://host", "--store", "memory:", "--workers", "2"], "SESSIONGUARD_COORDINATION asks for host"),
    (["--upstream", "http://host", "--unknown"], "unrecognized arguments: --unknown"),
]


@pytest.mark.parametrize(
    ("options", "complaint"), BAD_OPTIONS, ids=[" ".join(case[0]) or "none" for case in BAD_OPTIONS]
)
def test_a_bad_option_is_a_clear_message(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    """The message names the option and the cure, and nothing has been started; in this process."""
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *options])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")

    output, errors = capfd.readouterr()
    assert (2, "") == (ended.value.code, output)
    assert complaint in errors


def test_an_unknown_setting_in_the_environment_is_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard's settings are read before anything is started."""
    monkeypatch.setenv("SESSIONGUARD_STOER", "memory:")
    command = [sys.executable, str(EXAMPLE), "--upstream", "http://host", "--port", str(free_port())]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (2, "") == (ended.returncode, ended.stdout)
    assert "did you mean SESSIONGUARD_STORE?" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_store_that_cannot_work_ends_the_start(tmp_path: Path, workers: str) -> None:
    """The server says what is wrong with the directory and ends by itself, with several workers too."""
    (tmp_path / "file").touch()
    command = [sys.executable, str(EXAMPLE), "--upstream", "http://host", "--port", str(free_port())]
    options = ["--store", f"disk://{tmp_path / 'file'}", "--workers", workers]

    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert f"{tmp_path / 'file'} is not a directory" in ended.stderr and "Traceback" not in ended.stderr
