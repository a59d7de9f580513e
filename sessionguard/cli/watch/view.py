"""What the watcher sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sessionguard.cli.conversation import printable
from sessionguard.cli.moments import span
from sessionguard.cli.watch.look import Look

WORDS = {"resolutions": "requests", "refusals": "refused", "store_seconds": "store", "store_errors": "store errors"}


class View:
    """The latest look, what it is a second, and what the workers count; or why there is none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._look: Look | None = None
        self._elapsed = 0.0
        self._rates: Mapping[str, Mapping[str, Any]] = {}
        self._trouble = ""

    def show(self, look: Look, rates: Mapping[str, Mapping[str, Any]], trouble: str) -> None:
        """Take a look, and the rates of what workers count; `trouble` is why there are none."""
        if self._look is not None:
            self._elapsed = (look.at - self._look.at) / 1000
        self._look, self._rates, self._trouble = look, rates, trouble

    def fail(self, trouble: str) -> None:
        """Keep what was seen, and say why there is nothing newer."""
        self._trouble = trouble

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"{self._name}   Ctrl-C ends this", style="bold")
        if self._look is not None:
            yield Text(self._totals(self._look))
        yield from map(Text, self._counted())
        if self._trouble:
            yield Text(self._trouble, style="red")
        if self._look is not None:
            yield _newest(self._look)

    def _totals(self, look: Look) -> str:
        pace = 1 / self._elapsed if self._elapsed > 0 else 0.0
        return (
            f"{look.conversations:,} conversations   {look.begun * pace:,.1f} begun a second"
            f"   {look.used * pace:,.1f} signs of life a second   the store answers in {look.answer_ms:.1f} ms"
        )

    def _counted(self) -> Iterator[str]:
        for metric, kinds in self._rates.items():
            parts = (_part(kind, numbers) for kind, numbers in kinds.items())
            yield f"{WORDS.get(metric, metric.removesuffix('_seconds'))} a second: {', '.join(parts)}"


def _part(kind: str, numbers: Mapping[str, float]) -> str:
    mean = f" of {numbers['mean_ms']:.1f} ms" if "mean_ms" in numbers else ""
    return f"{kind} {numbers['per_second']:,.1f}{mean}".strip()


def _newest(look: Look) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    for heading in ("USED", "AGE", "HASH"):
        table.add_column(heading, no_wrap=True)
    table.add_column("SESSION ID", no_wrap=True, max_width=36)
    table.add_column("KEY", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in look.newest:
        record = each.record
        ages = span(look.at - record.updated_at), span(look.at - record.session_started_at)
        table.add_row(*map(Text, (*ages, each.hash, record.session_id, printable(each.session_key))))
    return table
