"""The origins of an hour as stacked bars: plain numbers of an SVG, which the template writes down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sessionguard import Origin
from sessionguard_status.journal import Minute

HEIGHT, BAR = 120, 10
COLOURS = {
    Origin.NEW.value: "#2563eb",
    Origin.JOINED.value: "#7c3aed",
    Origin.EXISTING.value: "#16a34a",
    Origin.EXPLICIT.value: "#64748b",
    Origin.EPHEMERAL.value: "#d97706",
    Origin.DEGRADED.value: "#dc2626",
}


@dataclass(frozen=True)
class Piece:
    """A part of a bar: what it counts, and where it is, in units of the SVG."""

    origin: str
    count: int
    minutes_ago: int
    x: int
    y: float
    height: float

    @property
    def colour(self) -> str:
        return COLOURS[self.origin]


@dataclass(frozen=True)
class Plot:
    """`width` and `height` are those of the SVG; `top` is what the highest bar counts."""

    width: int
    height: int
    top: int
    pieces: Sequence[Piece]


def plot_of(minutes: Sequence[Minute]) -> Plot:
    """Return the plot of these minutes, the oldest at the left."""
    top = max(minute.origins.total() for minute in minutes)
    return Plot(BAR * len(minutes), HEIGHT, top, [*_pieces(minutes, HEIGHT / max(top, 1))])


def _pieces(minutes: Sequence[Minute], scale: float) -> Iterator[Piece]:
    for place, minute in enumerate(minutes):
        y = float(HEIGHT)
        for origin in COLOURS:
            if count := minute.origins[origin]:
                y -= count * scale
                yield Piece(origin, count, len(minutes) - 1 - place, BAR * place, y, count * scale)
