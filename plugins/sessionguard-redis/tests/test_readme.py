"""The README: its program is run, its commands are, and its tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fresh_environment import FreshEnvironment
from redis_readme import COMMANDS, PROJECT, README
from redis_servers import RedisServer
from sessionguard_redis import url

from sessionguard.testing import Exchange

CHECKOUT = PROJECT.parents[1]
pytestmark = pytest.mark.once

LIST_SCHEMES = """
from sessionguard.plugins import PluginRegistry
hooks = PluginRegistry((), ()).implementations()["sessionguard_register_stores"]
print(*sorted(scheme for plugin, call in hooks if plugin == "redis" for scheme in call()))
import sys; print("redis" in sys.modules)
from sessionguard.testing.opening import open_store
open_store("redis://127.0.0.1:1")
"""


@pytest.mark.server
async def test_the_program_of_the_readme_serves(server: RedisServer) -> None:
    """With the URL of a server that is there."""
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program.replace("redis://127.0.0.1:6379/0", server.url), names)
    exchange = await Exchange(names["app"], [(b"x-openclaw-session-key", b"my-chat")]).run()
    await names["app"]._store.aclose()

    with server.talk() as client:
        [stored] = client.keys()
        assert (exchange.status, stored) == (200, "sessionguard:default//agent:main:my-chat")
    assert f"redis-cli GET {stored}" in README


@pytest.mark.slow
def test_what_the_install_line_installs_is_found_by_the_guard(tmp_path: Path) -> None:
    """In a fresh environment; redis-py is not imported before a store is asked for."""
    environment = FreshEnvironment(tmp_path / "venv")
    environment.install(COMMANDS[0], "httpx", "pytest")

    assert environment.run("-c", LIST_SCHEMES).splitlines() == ["redis rediss unix", "False"]


def test_the_url_of_the_environment_is_understood() -> None:
    """As a shell would hand it over."""
    [given] = re.findall(r"SESSIONGUARD_STORE='(.*?)'", COMMANDS[1])

    assert url.parse(given).place == "rediss://cache.example.com:6380/0"


def test_the_environment_that_runs_the_tests_exists() -> None:
    environment = COMMANDS[3].removeprefix("tox -e ")

    assert re.search(rf"^\[testenv:.*\b{environment}\b", (CHECKOUT / "tox.ini").read_text(), re.MULTILINE)


def test_every_block_of_the_readme_is_accounted_for() -> None:
    """One program and five commands; `test_move.py` runs the one that moves, `test_contract.py` the last."""
    assert (README.count("```python"), README.count("```console")) == (1, len(COMMANDS)) == (1, 5)


def test_the_table_of_options_is_complete_and_its_defaults_are_true() -> None:
    """Every option of any scheme, no other, and what it is when it is not given."""
    table = README[README.index("| option |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    named = {name: default for names, default, _ in rows for name in re.findall(r"`(\w+)`", names)}
    plain = url.parse("redis://cache")

    assert set(named) == {name for options in url.OF_SCHEME.values() for name in options}
    assert {name: named[name].strip("`") for name in ("prefix", "timeout", "connections", "eviction", "db")} == {
        "prefix": plain.prefix,
        "timeout": str(plain.timeout),
        "connections": str(plain.connections),
        "eviction": "allow" if plain.may_evict else "refuse",
        "db": str(plain.connection["db"]),
    }
