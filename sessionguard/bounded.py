"""A map that forgets what has not been used for long, at the price of one dictionary lookup."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMap(dict[K, V]):
    """Holds at least the `size` entries used last, at most twice as many: `map.get(key) or map.find(key)`.

    Entries age in two halves instead of one by one, so that using one of the younger writes nothing. Several threads
    may use it at once; what can happen then is that an entry is forgotten early or that an older value returns, so a
    value must say itself whether it still holds, or hold for ever.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self.older: dict[K, V] = {}
        """Those that are forgotten next."""

    def find(self, key: K) -> V | None:
        """Return what `get` did not find among the younger half, and make it young again."""
        value = self.older.get(key)
        if value is not None:
            self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        if len(self) >= self._size:
            self.older = dict(self)
            self.clear()
        self[key] = value

    def forget(self, key: K) -> None:
        self.pop(key, None)
        self.older.pop(key, None)
