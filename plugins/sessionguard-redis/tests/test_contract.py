"""The guard's own suites: as anybody runs them, by the URL of a store, and then on the other servers there are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_readme import COMMANDS
from redis_servers import PATIENT, SERVERS, RedisServer, open_store

from sessionguard import SessionStore
from sessionguard.plugins import PluginRegistry
from sessionguard.testing import AdoptionContract, LeaseContract, SessionStoreContract

# The first one is judged by the suite as a whole, with races and calls that fail, which no server sees.
OTHERS = [*SERVERS][1:] or [*SERVERS] or ["none"]


@pytest.fixture(scope="module", params=OTHERS)
def other_server(
    request: pytest.FixtureRequest, binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    with RedisServer(SERVERS[request.param], tmp_path_factory.mktemp("any")) as server:
        yield server


class OnOtherServers:
    """The fixture of the suites below."""

    @pytest.fixture
    def store(self, other_server: RedisServer) -> SessionStore:
        with other_server.talk() as client:
            client.flushall()
        return open_store(other_server.url + PATIENT)


@pytest.mark.server
@pytest.mark.lowest
class TestContract(OnOtherServers, SessionStoreContract):
    """One call after the other, and many at once in one process."""


@pytest.mark.server
class TestAdoption(OnOtherServers, AdoptionContract):
    """Rows that move in from another store."""


@pytest.mark.server
@pytest.mark.lowest
class TestLeases(OnOtherServers, LeaseContract):
    """One owner at a time, in the order of arrival."""


@pytest.mark.server
@pytest.mark.slow
def test_whoever_names_the_url_gets_the_whole_suite(server: RedisServer, tmp_path: Path) -> None:
    """The README's command finds the plugin by its entry point; processes race and are killed.

    All but the race on a wire that holds, which is that of `test_hosts.py`.
    """
    line = COMMANDS[-1].replace("redis://127.0.0.1:6379/15", server.url + PATIENT)
    assert server.url in line
    line += " -k 'not wire or loses'"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONDEVMODE": "", "PATH": path}
    run = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout
    assert "kill -9 of a racing process, nothing acknowledged was lost" in run.stdout
    assert "skipped" not in run.stdout


def test_the_guard_finds_the_plugin_by_its_schemes() -> None:
    """Installed is all it has to be."""
    implementations = PluginRegistry((), ()).implementations()["sessionguard_register_stores"]

    assert {scheme for plugin, call in implementations for scheme in call() if plugin == "redis"} == {
        "redis",
        "rediss",
        "unix",
    }
