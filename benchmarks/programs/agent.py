"""An application behind a guard on the disk store, as its clients see it."""

import asyncio
from collections import Counter

from answering import answer

from sessionguard import SessionGuard, hookimpl


async def application(scope, receive, send):
    headers = [(b"id", scope["session_id"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})


async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}


def scope_of(key):
    """Return a request as a server hands it over, with as few headers as there can be."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"x-openclaw-session-key", key.encode())],
    }


class Refused(Exception):
    """The guard did not let a request in."""


class Agent:
    """`calls` counts, by verb, what has really been asked of the store's thread, and answered.

    Its guard is patient: on a machine that is too busy, it shall be slow and not refuse.
    """

    def __init__(self, directory, store=None):
        self.calls = Counter()
        self.guard = SessionGuard(
            application, store=store or f"disk://{directory}", plugins=[self], reserve_timeout=30.0
        )

    @hookimpl
    def sessionguard_store_called(self, verb, outcome, seconds):
        self.calls[verb] += outcome == "ok"

    async def request(self, key):
        """Return the session id that the application saw; raises Refused."""
        started = {}

        async def send(message):
            started.update(message)

        await self.guard(scope_of(key), receive, send)
        if started["status"] != 200:
            raise Refused(started)
        return dict(started["headers"])[b"id"].decode()

    async def reset(self, key):
        """Return the new session id."""
        return (await self.guard.reset(key)).session_id

    async def crowd(self, key, requests):
        """Return how many reservations so many requests at once have made, and the ids they were given."""
        before = self.calls["reserve"]
        ids = set(await asyncio.gather(*(self.request(key) for _ in range(requests))))
        return self.calls["reserve"] - before, sorted(ids)


if __name__ == "__main__":
    asyncio.run(answer(Agent))
