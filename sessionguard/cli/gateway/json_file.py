"""`sessions.json`: one object, with an entry for every session key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from sessionguard.cli.gateway.errors import Unreadable


class JsonFile:
    """The file at `path`, read piece by piece; `position` runs to `size`, both in bytes."""

    kind = "sessions.json"
    agent: str | None = None
    invalid = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.position = 0

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Yield keys and entries; raises Unreadable for a file that is no session file."""
        with self._path.open("rb") as file, self._parsed():
            kind = next(ijson.basic_parse(file), (None,))[0]
            if kind != "start_map":
                raise Unreadable(
                    f"{self._path} is no OpenClaw session file: it holds no JSON object; name a sessions.json"
                )
            file.seek(0)
            for key, entry in ijson.kvitems(file, ""):
                self.position = file.tell()
                yield key, entry

    @contextlib.contextmanager
    def _parsed(self) -> Iterator[None]:
        try:
            yield
        except (ijson.JSONError, UnicodeDecodeError) as error:
            said = str(error).partition("\n")[0]
            raise Unreadable(f"{self._path} is not JSON as a whole ({said}); is it still being written?") from error
