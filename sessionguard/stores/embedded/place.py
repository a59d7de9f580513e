"""The place a store lives in: a directory and a database file that belong to us alone, on a disk of this host."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from sessionguard.errors import ConfigurationError

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
MOUNTS = Path("/proc/self/mountinfo")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - looked for, not used
REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs"}
)
"""File systems whose locks do not reach the other hosts, or not reliably; FUSE ones are found by their prefix."""


def default_directory(scheme: str, namespace: str) -> Path:
    """Return the place in the user's state directory, one per namespace."""
    folder = namespace if scheme == "disk" else f"{namespace}.{scheme}"
    return platformdirs.user_state_path("sessionguard", appauthor=False) / folder


def prepare(directory: Path, name: str, *, remote_allowed: bool = False) -> Path:
    """Make the directory and the file `name` in it private to us; returns the file.

    Raises ConfigurationError, with the cure, when they cannot be.
    """
    database = directory / name
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        _check_private(directory, stat.S_ISDIR, "directory", 0o700)
        if not remote_allowed and (kind := file_system(directory)) and is_remote(kind):
            raise ConfigurationError(
                f"store: {directory} is on a network file system ({kind}), whose locks this store cannot trust; use a"
                " local disk, or add ?network_filesystem=on to the URL if only this host ever opens it"
            )
        make_private_file(database)
    except OSError as error:
        raise ConfigurationError(
            f"store: {directory} cannot be used ({error.strerror}); give SESSIONGUARD_STORE a directory this user can"
            " write, such as disk:///var/lib/myapp/sessions"
        ) from error
    return database


def make_private_file(path: Path) -> None:
    """Make an empty file that is private to us; raises ConfigurationError if there is another one already."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _check_private(path, stat.S_ISREG, "file", 0o600)


def identity(*files: str) -> Sequence[tuple[int, int]]:
    """Return device and inode of each file; raises OSError when one is gone."""
    # Of paths that are strings: asking a Path takes more than twice the time, three times with every commit.
    return [(status.st_dev, status.st_ino) for status in map(os.stat, files)]


def file_system(path: Path) -> str | None:
    """Return the type of the file system `path` is on, None where the host does not say."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return None
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.partition(" - ") for line in lines)
    return next((tail.split()[0] for fields, _, tail in mounts if fields.split()[2] == number), None)


def is_remote(kind: str) -> bool:
    """Whether the locks of a file system of this type are no use to the other hosts that have it, or may be none."""
    return kind in REMOTE or kind.startswith("fuse")


def warnings(directory: Path) -> Iterator[str]:
    """Say what makes the place an unlucky one."""
    # Not tempfile.gettempdir(), which writes a file to find out and raises where nothing can be written.
    if any(map(directory.is_relative_to, (*TEMPORARY, os.environ.get("TMPDIR") or TEMPORARY[0]))):
        yield "the directory is a temporary one; conversations end when it is cleaned"
    in_container = any(map(os.path.exists, CONTAINER_MARKS)) or "KUBERNETES_SERVICE_HOST" in os.environ
    if in_container and not any(map(os.path.ismount, (directory, *directory.parents[:-1]))):
        yield "this is a container; keep the directory on a volume, or conversations end with the container"


def _check_private(path: Path, is_kind: Callable[[int], bool], kind: str, mode: int) -> None:
    status = path.lstat()
    if not is_kind(status.st_mode):
        raise ConfigurationError(f"store: {path} is not a {kind} (a symbolic link counts as none); name the real one")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"store: {path} belongs to another user; set SESSIONGUARD_STORE to a {kind} of ours")
    if status.st_mode & 0o777 != mode:
        raise ConfigurationError(f"store: {path} must be readable and writable by us alone; run: chmod {mode:o} {path}")
