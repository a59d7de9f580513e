"""Requests sent down one connection at once, on real servers: the next begins where the one before ends."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from live import uvicorn

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_pipelined_requests_do_not_leak_into_each_other(http: str, tmp_path: Path) -> None:
    """Keyed, without a key, keyed, without a key: each record has its own session, or none; the access log too."""
    env = {"SESSIONGUARD_STORE": f"disk://{tmp_path / 'sessions'}", "PYTHONUNBUFFERED": "1"}
    request = "GET /{number} HTTP/1.1\r\nhost: agent\r\n{key}\r\n"
    keys = ["x-openclaw-session-key: my-chat\r\n", ""] * 2
    sent = "".join(request.format(number=number, key=key) for number, key in enumerate(keys)).encode()
    with uvicorn("logging_app:app", tmp_path, "--http", http, app_dir=HERE, env=env) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(30)
            connection.sendall(sent)
            answered = b""
            while answered.count(b"\r\n\r\nok") < len(keys):
                answered += connection.recv(65536)
        server.stop()
        records = re.findall(r"RECORD (inside|behind|outside) /(\d) (\S+)", server.output)
        access = re.findall(r'RECORD .*"GET /(\d) HTTP/1.1" 200 (\S+)', server.output)

    origins = ["new", "-", "existing", "-"]
    expected = {(where, str(number), origins[number]) for number in range(4) for where in ("inside", "behind")}
    assert set(records) == expected | {("outside", str(number), "-") for number in range(4)}
    assert len(records) == 12
    assert access == [(str(number), origin) for number, origin in enumerate(origins)]
