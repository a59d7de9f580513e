"""What workers count, read where the plugin sessionguard-prometheus exposes it, and what that is a second."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

SECONDS = 2.0

_SAMPLE = re.compile(r"(sessionguard_\w+?)(?:_(total|sum|count))(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_KINDS = ("origin", "code", "verb", "outcome")
"""The labels by which counters are told apart here; of stores there is one."""


class Series(NamedTuple):
    """A counter: its metric, `total`, `sum` or `count`, and the value of the label that matters."""

    metric: str
    part: str
    kind: str


@dataclass(frozen=True)
class Counters:
    """Counters, at a time of the monotonic clock in seconds."""

    at: float
    values: Mapping[Series, float]

    def since(self, before: Counters) -> Mapping[str, Mapping[str, Any]]:
        """Return by metric and kind: how many a second, and for durations their mean in milliseconds."""
        rates: dict[str, dict[str, Any]] = defaultdict(dict)
        elapsed = self.at - before.at
        for (metric, part, kind), value in sorted(self.values.items()):
            grown = value - before.values.get(Series(metric, part, kind), 0.0)
            name = metric.removeprefix("sessionguard_")
            # A worker that was started anew counts from 0.
            if part == "sum" or grown <= 0:
                continue
            rates[name][kind] = {"per_second": grown / elapsed}
            if part == "count":
                total = self._sum(metric, kind) - before._sum(metric, kind)
                rates[name][kind]["mean_ms"] = max(total, 0.0) / grown * 1000
        return rates

    def _sum(self, metric: str, kind: str) -> float:
        return self.values.get(Series(metric, "sum", kind), 0.0)


async def scrape(client: httpx.AsyncClient, url: str) -> Counters:
    """Read the counters at `url`; raises httpx.HTTPError."""
    response = (await client.get(url, timeout=SECONDS)).raise_for_status()
    values: defaultdict[Series, float] = defaultdict(float)
    for series, value in _samples(response.text):
        values[series] += value
    return Counters(time.monotonic(), values)


def _samples(text: str) -> Iterator[tuple[Series, float]]:
    for match in map(_SAMPLE.fullmatch, text.splitlines()):
        if match is not None:
            labels = dict(_LABEL.findall(match[3] or ""))
            kind = next((labels[name] for name in _KINDS if name in labels), "")
            yield Series(match[1], match[2], kind), float(match[4])
