"""The bar that long commands show to a person, and to nobody else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def progress(count: ProgressColumn | None = None) -> Iterator[Progress]:
    """Yield a bar on the standard error, with a `count` beside it; what goes into a pipe is the report alone."""
    columns = TextColumn("{task.description}"), BarColumn(), count or MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    # To anything but a terminal it would write an empty line.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield shown
