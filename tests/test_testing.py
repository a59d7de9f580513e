"""What we ship for the authors of stores finds the mistakes authors of stores make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sessionguard.testing import AppProbe, Exchange, SessionStoreContract

MISTAKES = {
    "writes without looking": (
        """
        async def reserve(self, key, candidate_id, replacing):
            now = self._clock()
            self._rows[key] = row = SessionRecord(candidate_id, now, now)
            return Reservation(row, True, now)
        """,
        "test_one_of_many_tasks_creates",
    ),
    "looks, waits and writes": (
        """
        async def reserve(self, key, candidate_id, replacing):
            row = self._rows.get(key)
            await asyncio.sleep(0)
            if row is None or row.may_be_replaced(replacing):
                now = self._clock()
                self._rows[key] = row = SessionRecord(candidate_id, now, now)
            return Reservation(row, row.session_id == candidate_id, self._clock())
        """,
        "test_one_of_many_tasks_creates",
    ),
    "compares the id alone": (
        """
        async def reserve(self, key, candidate_id, replacing):
            row = self._rows.get(key)
            now = self._clock()
            if row is None or (replacing is not None and row.session_id == replacing.session_id):
                self._rows[key] = row = SessionRecord(candidate_id, now, now)
            return Reservation(row, row.session_id == candidate_id, now)
        """,
        "test_a_touch_wins_over_a_reservation_that_started_before_it",
    ),
    "renews a row that is its own": (
        """
        async def reserve(self, key, candidate_id, replacing):
            row = self._rows.get(key)
            if row is not None and row.session_id == candidate_id:
                del self._rows[key]
            return await super().reserve(key, candidate_id, replacing)
        """,
        "test_a_repeated_reservation_keeps_the_row_as_it_is",
    ),
    "touches whatever stands": (
        """
        async def touch(self, updates):
            for update in updates:
                if row := self._rows.get(update.key):
                    self._rows[update.key] = row.touched(self._clock() - update.age)
        """,
        "test_a_touch_is_conditional",
    ),
    "takes a prefix for a pattern": (
        """
        async def scan(self, prefix=""):
            for key in sorted(self._rows):
                if fnmatch.fnmatchcase(key, prefix + "*"):
                    yield key, self._rows[key]
        """,
        "test_a_prefix_is_taken_literally",
    ),
    "forgets whoever it is": (
        """
        async def forget(self, key, session_id, idle_before=None):
            return self._rows.pop(key, None) is not None
        """,
        "test_forget_removes_only_what_it_was_told",
    ),
}

HEAD = """
import asyncio, fnmatch
import pytest
from sessionguard import Reservation, SessionRecord
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing import SessionStoreContract
"""

SUITE = """
class Store{number}(MemoryStore):
{mistake}

class TestStore{number}(SessionStoreContract):
    @pytest.fixture
    def store(self):
        return Store{number}()
"""


@pytest.mark.slow
def test_the_contract_finds_every_store_with_a_mistake(tmp_path: Path) -> None:
    """Each mistake fails the very test that is about it, without any plugin for asynchronous tests."""
    suites = [
        SUITE.format(number=number, mistake="\n".join(line[4:] for line in source.splitlines()))
        for number, (source, _) in enumerate(MISTAKES.values())
    ]
    (tmp_path / "test_mistakes.py").write_text(HEAD + "".join(suites))
    tests = " or ".join(test for _, test in MISTAKES.values())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "--tb=no", "-rf"]
    command += ["-p", "no:xdist", "-k", tests]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [f"TestStore{number}::{test}" in run.stdout for number, (_, test) in enumerate(MISTAKES.values())]

    assert run.returncode == 1, run.stdout + run.stderr
    assert [mistake for mistake, is_found in zip(MISTAKES, found, strict=True) if not is_found] == []


def test_a_suite_without_a_store_says_what_to_override() -> None:
    """The one thing its author has to bring."""
    with pytest.raises(NotImplementedError, match="override the fixture 'store'"):
        SessionStoreContract.store.__wrapped__(SessionStoreContract())  # type: ignore[attr-defined]


async def test_the_probe_ignores_what_it_does_not_speak() -> None:
    """A lifespan is received and not answered."""
    probe = AppProbe()
    exchange = await Exchange(probe, type="lifespan").run()

    assert exchange.sent == []
    assert probe.scope["type"] == "lifespan"


async def test_an_exchange_ends_its_request_and_then_waits_like_a_client_that_stays() -> None:
    """After the body there is no disconnect."""
    received = []

    async def app(scope: object, receive: object, send: object) -> None:
        import asyncio

        received.append(await receive())  # type: ignore[operator]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.01)  # type: ignore[operator]

    await Exchange(app).run()

    assert received == [{"type": "http.request", "body": b"", "more_body": False}]
