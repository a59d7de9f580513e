"""Times calls of a contender in process: `python calls.py guard`."""

import asyncio
import time

from answering import answer
from contenders import CONTENDERS, EXTRA_HEADERS, HEADERS, KEY, KEY_HEADER, bare


def scope_of(headers):
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        # Made anew like those of a server, whose bytes have never been hashed before.
        "headers": [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in headers],
        "state": {},
    }


async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message):
    pass


async def first_cookie(app, headers):
    """Return the headers with the cookie that the first answer sets, as a browser would."""
    cookies = []

    async def look(message):
        for name, value in message.get("headers", ()):
            if bytes(name).lower() == b"set-cookie":
                cookies.append((b"cookie", bytes(value).partition(b";")[0]))

    await app(scope_of(headers), receive, look)
    return [*headers, *cookies]


async def nanoseconds_per_call(app, headers, calls):
    scopes = [scope_of(headers) for _ in range(calls)]
    started = time.perf_counter_ns()
    for scope in scopes:
        await app(scope, receive, send)
    return (time.perf_counter_ns() - started) / calls


class Calls:
    """Calls of one contender; a name may end with what its requests have (`+sent`) or have not (`+no-key`)."""

    def __init__(self, name):
        self._app = CONTENDERS[name.partition("+")[0]]()
        self._headers = [*HEADERS, *EXTRA_HEADERS.get(name, [])]
        if not name.endswith("+no-key"):
            self._headers.append((KEY_HEADER, KEY))
        if name.endswith("+sent"):
            self._headers.append((b"x-request-id", b"3f6f3b0e-4c2f-4d22-9f24-0d8f4c1e5d33"))

    async def prepare(self):
        self._headers = await first_cookie(self._app, self._headers)
        await nanoseconds_per_call(self._app, self._headers, 100)

    async def time(self, calls):
        """Return the nanoseconds per call of the bare application and of this one."""
        return [await nanoseconds_per_call(app, self._headers, calls) for app in (bare, self._app)]


if __name__ == "__main__":
    asyncio.run(answer(Calls))
