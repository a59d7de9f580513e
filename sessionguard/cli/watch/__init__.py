"""`sessionguard watch`: the conversations of a store as they come and go."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.live import Live

from sessionguard.cli.exits import explained
from sessionguard.cli.opening import existing_place
from sessionguard.cli.options import AsJson, Namespace, Prefix, Principal, StoreUrl
from sessionguard.cli.selection import Selection
from sessionguard.cli.watch.look import look
from sessionguard.cli.watch.metrics import Counters, scrape
from sessionguard.cli.watch.view import View
from sessionguard.errors import StoreUnavailable

Interval = Annotated[float, typer.Option(min=0.1, help="Seconds between two looks; more for a large store.")]
Looks = Annotated[int, typer.Option(min=0, help="End after so many; 0: when you press Ctrl-C.")]
Metrics = Annotated[
    str | None, typer.Option(help="Where workers expose what sessionguard-prometheus counts.", show_default=False)
]

REST = 4
"""How much longer than a look the pause behind it is at least, so that watching costs the store little."""
HEAD = 10


def watch(
    store: StoreUrl = "disk:",
    namespace: Namespace = None,
    prefix: Prefix = "",
    principal: Principal = None,
    metrics: Metrics = None,
    interval: Interval = 1.0,
    looks: Looks = 0,
    as_json: AsJson = False,
) -> None:
    """Watch conversations: the newest, how many begin and are used, and how fast the store answers.

    With --metrics also what workers count: requests a second by how they came by their id, refusals, and how long store
    calls and waits take. With --json, every look is a line.
    """
    watcher = Watcher(Selection("", prefix, principal), metrics, interval, looks)
    with explained(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watcher.run(store, namespace, as_json=as_json))


class Watcher:
    """Looks again and again, `looks` times, or for ever where that is 0."""

    def __init__(self, wanted: Selection, metrics: str | None, interval: float, looks: int) -> None:
        self._wanted = wanted
        self._metrics = metrics
        self._interval = interval
        self._looks = looks
        self._counters: Counters | None = None

    async def run(self, url: str, namespace: str | None, *, as_json: bool) -> None:
        console = Console()
        async with existing_place(url, namespace=namespace) as place, httpx.AsyncClient(trust_env=False) as client:
            selection = self._wanted.within(place.settings.namespace)
            view = View(place.name)
            since = None
            with _shown(view, console, as_json=as_json) as refresh:
                for remaining in self._countdown():
                    pause = self._interval
                    rates, trouble = await self._counted(client)
                    try:
                        latest = await look(place.store, selection, max(console.height - HEAD, 1), since)
                    except StoreUnavailable as error:
                        view.fail(str(error))
                        refresh({"error": str(error)})
                    else:
                        view.show(latest, rates, trouble)
                        refresh({**latest.facts(), "rates": rates})
                        since = latest.at
                        pause = max(pause, REST * latest.seconds)
                    if remaining:
                        await asyncio.sleep(pause)

    def _countdown(self) -> Iterator[int]:
        """Yield how many more looks there are, or that there always is one."""
        if self._looks:
            yield from reversed(range(self._looks))
        while not self._looks:
            yield 1

    async def _counted(self, client: httpx.AsyncClient) -> tuple[Mapping[str, Mapping[str, Any]], str]:
        """Return the rates since the time before, and why there are none."""
        if self._metrics is None:
            return {}, ""
        try:
            before, self._counters = self._counters, await scrape(client, self._metrics)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return {}, f"{self._metrics} does not answer: {error!r}"
        return ({} if before is None else self._counters.since(before)), ""


@contextlib.contextmanager
def _shown(view: View, console: Console, *, as_json: bool) -> Iterator[Any]:
    """Yield what is to be called with the facts of each look: it prints them, or shows the view."""
    if as_json:
        yield lambda facts: typer.echo(json.dumps(facts))
        return
    with Live(view, console=console, screen=console.is_terminal, auto_refresh=False) as live:
        yield lambda facts: live.refresh()
    if not console.is_terminal:
        typer.echo()  # A view ends without one.
