"""Long lists in pieces, so that what is held and what is under way at once is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")

BATCH = 200


async def batches(items: AsyncIterator[T], size: int = BATCH) -> AsyncIterator[list[T]]:
    """Yield the items in lists of `size`, and what is left over."""
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
