"""The page: who asks is asked for, what there is is gathered, and nothing is ever written."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from jinja2 import Environment, PackageLoader, StrictUndefined

from sessionguard import GuardSettings, Refusal, SessionForbidden, SessionStore
from sessionguard.asgi import ASGIApp, Receive, Scope, Send, refuse
from sessionguard.hookspecs import HookImplementation
from sessionguard.policy import first_answer
from sessionguard_status.conversations import Glance, glance
from sessionguard_status.journal import Journal
from sessionguard_status.plot import COLOURS, plot_of
from sessionguard_status.settings import StatusSettings

LONGEST_QUESTION = 2.0
"""In seconds, for everything the page asks of the store."""
HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

_TEMPLATE = Environment(
    loader=PackageLoader("sessionguard_status"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("status.html")


@dataclass(frozen=True)
class Health:
    """How the store does: what it answered, after how many seconds, or why not."""

    seconds: float
    found: Glance | None
    trouble: str = ""


class StatusPage:
    """Middleware that answers the path of the page and hands everything else on to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        settings: StatusSettings,
        guard: GuardSettings,
        store: SessionStore,
        who_asks: Sequence[HookImplementation],
        journal: Journal,
    ) -> None:
        self._app = app
        self._settings = settings
        self._namespace = guard.namespace
        self._store = store
        self._who_asks = who_asks
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != scope.get("root_path", "") + self._settings.path:
            await self._app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await send({"type": "http.response.start", "status": 405, "headers": [(b"allow", b"GET, HEAD")]})
            await send({"type": "http.response.body"})
        else:
            await self._show(scope, send)

    async def _show(self, scope: Scope, send: Send) -> None:
        try:
            self._admit(scope)
        except Refusal as error:
            await refuse(scope, send, error)
            return
        body = self._render(await self._ask()).encode()
        headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _admit(self, scope: Scope) -> None:
        """Raise a Refusal unless the principal plugins say that this is somebody who may look."""
        _, principal = first_answer(self._who_asks, scope)
        if principal not in self._settings.principals:
            raise SessionForbidden("This page is for those who are named in SESSIONGUARD_STATUS_PRINCIPALS.")

    async def _ask(self) -> Health:
        started = time.monotonic()
        try:
            await asyncio.wait_for(self._store.ping(), LONGEST_QUESTION)
            seconds = time.monotonic() - started
            found = await asyncio.wait_for(glance(self._store, self._namespace), LONGEST_QUESTION)
        except asyncio.TimeoutError:
            return Health(time.monotonic() - started, None, "no answer in time")
        except Exception as error:
            # Whatever is wrong with the store is what somebody looks at the page for.
            return Health(time.monotonic() - started, None, str(error) or repr(error))
        return Health(seconds, found)

    def _render(self, health: Health) -> str:
        minutes = self._journal.minutes()
        calls: Counter[tuple[str, str]] = sum((minute.calls for minute in minutes), Counter())
        return _TEMPLATE.render(
            calls=sorted(calls.items()),
            colours=COLOURS,
            health=health,
            now=datetime.now(timezone.utc),
            origins=sum((minute.origins for minute in minutes), Counter()),
            pid=os.getpid(),
            plot=plot_of(minutes),
            refusals=sorted(sum((minute.refusals for minute in minutes), Counter()).items()),
            started=datetime.fromtimestamp(self._journal.started, timezone.utc),
            store=self._store,
            waits=self._journal.waits(),
        )
