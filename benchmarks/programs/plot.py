"""Draws what the contenders cost: `python plot.py FILE.svg`, with the costs as JSON on the standard input."""

import json
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

OURS, OTHERS, REFERENCE = "#1769aa", "#9aa5b1", "#d5dae0"
TIMES_A_REQUEST_ID = 6
"""How long a bar may become, in those of asgi-correlation-id."""
LABELS = {
    "bare": "the application alone",
    "passing": "middleware that does nothing",
    "guard": "sessionguard, disk",
    "guard-redis": "sessionguard, Redis",
    "correlation-id": "asgi-correlation-id",
    "starlette-session": "Starlette SessionMiddleware",
    "starsessions-memory": "starsessions, memory",
    "starsessions-redis": "starsessions, Redis",
    "idempotency-memory": "asgi-idempotency-header, memory",
    "idempotency-redis": "asgi-idempotency-header, Redis",
    "redis-by-hand": "by hand, redis-py",
    "diskcache-by-hand": "by hand, diskcache in a thread",
}


def color(name):
    return OURS if name.startswith("guard") else REFERENCE if name in {"bare", "passing"} else OTHERS


def draw(axes, title, values, order, shown, longest):
    """Draw one bar per contender with its number behind it; one that would dwarf all others is broken off."""
    lengths = [min(values[name], longest) for name in order]
    bars = axes.barh([LABELS[name] for name in order], lengths, color=[*map(color, order)])
    ends = ["" if values[name] <= longest else "... " for name in order]
    numbers = [end + shown.format(values[name]) for end, name in zip(ends, order, strict=True)]
    axes.bar_label(bars, numbers, padding=3, fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.margins(x=0.15)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelsize=8)


def main():
    costs = json.load(sys.stdin)
    # Text stays text, and the same run gives the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sessionguard", "font.family": "sans-serif"})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.9), sharey=True, layout="constrained")
    order = [name for name in sorted(costs["share"], key=costs["share"].get) if name in LABELS]
    longest = TIMES_A_REQUEST_ID * costs["cpu"]["correlation-id"]
    draw(left, "CPU added per request, us: less is better", costs["cpu"], order, "{:.1f}", longest)
    draw(right, "share of its requests/s: more is better", costs["share"], order, "{:.2f}", float("inf"))
    figure.suptitle(
        "An established conversation, served by uvicorn in one process, against the application alone", fontsize=11
    )
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
