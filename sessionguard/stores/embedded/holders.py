"""Proof that a process which holds leases is dead: the kernel lock on a file of its own, which ends with the process.

A process id would mislead: containers that share a directory have process ids of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

PREFIX, SUFFIX = "lease-holder-", ".lock"
NO_FILE = -1

_locked: set[Holder] = set()


class Holder:
    """The lock by which other processes know that this one lives; `directory` is that of a store that is open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = NO_FILE
        self._name = ""

    def name(self) -> str:
        """Return the name under which this process holds leases, and lock its file at first need.

        It is empty where the file cannot be made, such as on a full disk; then its leases end by their time alone.
        """
        if self._file == NO_FILE:
            with contextlib.suppress(OSError):
                self._remove_dead()
                self._lock()
        return self._name

    def is_dead(self, name: str) -> bool:
        """Return whether the process of that name has ended. Only the file of a dead process is ever removed."""
        if name == self._name:
            return False
        path = self._path(name)
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    def close(self) -> None:
        """Remove the file; this process holds no lease."""
        if self._file != NO_FILE:
            with contextlib.suppress(OSError):
                self._path(self._name).unlink(missing_ok=True)
            self.disown()

    def disown(self) -> None:
        """Close the file without unlocking it: a forked child must not keep the lock of its parent, nor end it."""
        os.close(self._file)
        self._file, self._name = NO_FILE, ""
        _locked.discard(self)

    def _lock(self) -> None:
        while self._file == NO_FILE:
            name = secrets.token_hex(8)
            file = os.open(self._path(name), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_removed = not os.fstat(file).st_nlink
            except BlockingIOError:
                is_removed = True
            if is_removed:  # Another process took a file without a lock for that of a dead one.
                os.close(file)
            else:
                self._file, self._name = file, name
                _locked.add(self)

    def _remove_dead(self) -> None:
        for path in self._directory.glob(f"{PREFIX}*{SUFFIX}"):
            self.is_dead(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))

    def _path(self, name: str) -> Path:
        return self._directory / f"{PREFIX}{name}{SUFFIX}"


def _disown_all() -> None:
    for holder in list(_locked):
        holder.disown()


os.register_at_fork(after_in_child=_disown_all)
