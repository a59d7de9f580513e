"""Who asked what, when, and what they were told: a history that survives the process that writes it.

Every operation is written down before it begins and again when it has been answered. One that was never answered, by
a lost reply, a cancellation or `kill -9`, stays open: it may have happened at any moment since, or never.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on `subject`. Times are nanoseconds of the host's monotonic clock.

    `returned` is None, and `answer` with it, when the outcome is unknown.
    """

    subject: str
    verb: str
    arguments: tuple[Any, ...]
    invoked: int
    returned: int | None = None
    answer: Any = None


class Recorder:
    """Writes a history to `path`, line by line; a line that was written is safe from the death of the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = itertools.count()

    def begin(self, subject: str, verb: str, *arguments: Any) -> int:
        """Note an operation that is about to begin; returns the number to end it with."""
        number = next(self._numbers)
        self._write([number, time.monotonic_ns(), subject, verb, arguments])
        return number

    def end(self, number: int, answer: Any) -> None:
        """Note the answer; `answer` is a value of JSON."""
        self._write([number, time.monotonic_ns(), answer])

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: list[Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


def read(paths: Iterable[Path]) -> list[Operation]:
    """Return the operations of several recorders, in the order in which they were invoked."""
    operations = itertools.chain.from_iterable(map(_operations, paths))
    return sorted(operations, key=lambda operation: operation.invoked)


def _operations(path: Path) -> Iterable[Operation]:
    begun: dict[int, list[Any]] = {}
    ended: dict[int, tuple[int, Any]] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        number, moment, *rest = json.loads(line)
        if len(rest) == 1:
            ended[number] = moment, rest[0]
        else:
            begun[number] = [moment, *rest]
    for number, (invoked, subject, verb, arguments) in begun.items():
        hashable = (tuple(argument) if isinstance(argument, list) else argument for argument in arguments)
        yield Operation(subject, verb, tuple(hashable), invoked, *ended.get(number, (None, None)))
