"""What the demo tells its reader: what happened, side by side, and how to see it by hand.

The words are ASCII and the table fits 80 columns; rich draws its lines with what the terminal can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from sessionguard.cli.half import Half
from sessionguard.cli.walkthrough import Step


def print_comparison(console: Console, alone: Half, guarded: Half) -> None:
    """Print both halves side by side, and what the store holds afterwards."""
    title = f"{len(alone.replies) - 1} messages at once for the new key {guarded.key}, then one more"
    table = Table("", "the agent alone", "behind SessionGuard", title=title, title_style="bold", box=box.ROUNDED)
    table.columns[1].style = "red" if alone.forked else ""
    table.columns[2].style = "red" if guarded.faults else "green"
    for name, tell in _ROWS.items():
        table.add_row(name, tell(alone), tell(guarded))
    console.print(table)
    for key, session_id in guarded.rows:
        console.print(f"Stored row: {key} -> {session_id}", soft_wrap=True)


def print_verdict(console: Console, alone: Half, guarded: Half) -> None:
    """Say what the halves show; the agent alone may be lucky once, the guarded one must not need luck."""
    if alone.forked:
        console.print(f"\nAlone, one conversation became {len(alone.session_ids)}.", style="bold red")
    else:
        console.print("\nAlone, the agent did not fork this time: it is a race. Run the demo again to see it lost.")
    if not guarded.faults:
        console.print(f"Guarded, it stayed one, across {len(guarded.processes)} processes.", style="bold green")
    for fault in guarded.faults:
        console.print(f"The guarded half did not hold: {fault}", style="bold red", markup=False, soft_wrap=True)


def print_steps(console: Console, steps: Iterable[Step]) -> None:
    """Print the commands so that they can be copied: never wrapped, never padded."""
    console.print("\nTry it by hand", style="bold")
    for number, step in enumerate(steps, 1):
        console.print(f"\n{number}. {step.aim}\n")
        for line in step.command.splitlines():
            console.print(f"    {line}", style="cyan", markup=False, soft_wrap=True)
        console.print(f"\n   {step.expect}", soft_wrap=True)


def _transcripts(half: Half) -> str:
    longest = max(map(len, half.transcripts.values()), default=0)
    return f"{len(half.transcripts)} (longest: {longest} of {len(half.replies)})"


def _memory(half: Half) -> str:
    return f"{half.replies[-1].remembers} of {len(half.replies) - 1} messages"


def _statuses(half: Half) -> str:
    # Backwards in the alphabet is the order in which they happen: new, joined, existing.
    told = sorted(((status, count) for status, count in half.statuses.items() if status), reverse=True)
    return ", ".join(f"{count} {status}" for status, count in told) or "-"


_ROWS: Mapping[str, Callable[[Half], str]] = {
    "processes that answered": lambda half: str(len(half.processes)),
    "session ids": lambda half: f"{len(half.session_ids)}{' (forked)' if half.forked else ''}",
    "transcripts": _transcripts,
    "memory of the last one": _memory,
    "x-sessionguard-status": _statuses,
}
