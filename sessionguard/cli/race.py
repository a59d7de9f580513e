"""Many messages of one conversation at the same moment, and one more when all are answered."""

from __future__ import annotations

import dataclasses
import functools

import httpx

from sessionguard.cli.callers import at_once, callers
from sessionguard.cli.server import Server

KEY_HEADER = "x-openclaw-session-key"
STATUS_HEADER = "x-sessionguard-status"


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back for `message`; `status` is None where no guard stands in front."""

    message: str
    session_id: str
    remembers: int
    process: int
    status: str | None


def race(server: Server, key: str, *, processes: int, each: int) -> list[Reply]:
    """Send `each` messages to each of `processes` at once, then one more; the last reply is the answer to that.

    Raises ServerFailed, also for a request that is refused or not answered.
    """
    try:
        with callers(server, processes, each) as clients:
            post = functools.partial(_post, key)
            messages = [f"message {number}" for number, _ in enumerate(clients, 1)]
            return [*at_once(post, clients, messages), post(clients[-1], "what have we said?")]
    except httpx.HTTPStatusError as error:
        raise server.failure(f"answered {error.response.status_code}: {error.response.text}") from error
    except httpx.HTTPError as error:
        raise server.failure(f"did not answer: {error!r}") from error


def _post(key: str, client: httpx.Client, message: str) -> Reply:
    response = client.post("/", content=message, headers={KEY_HEADER: key}).raise_for_status()
    return Reply(message=message, status=response.headers.get(STATUS_HEADER), **response.json())
