"""What a store must do when whole processes race on it, and when they are killed. Every race uses the same keys."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from pytest_sessionguard import Tally
from sessionguard.testing.opening import open_store
from sessionguard.testing.race import Race

TURNS = 360


class RaceContract:
    """Subclass this as `Test...` and override `store_url`; the store at it need not be empty."""

    @pytest.fixture
    def store_url(self) -> str:
        """MUST be overridden: the URL of a store that several processes can open."""
        raise NotImplementedError("override the fixture 'store_url'")

    @pytest.fixture(autouse=True)
    def _reach(self, store_url: str) -> None:
        if open_store(store_url).coordination == "process":
            pytest.skip("this store serves one process only")

    def check_integrity(self, store_url: str) -> None:
        """Override it to look at the store itself after a race; raise AssertionError for what is wrong."""

    @pytest.mark.parametrize("faults", [0.0, 0.03], ids=["a wire that holds", "a wire that loses"])
    def test_one_order_of_operations_explains_every_answer(
        self, store_url: str, tmp_path: Path, tally: Tally, faults: float
    ) -> None:
        judged = 0
        while judged < tally.choose(13_000, 250_000):
            race = Race(store_url, Path(tempfile.mkdtemp(dir=tmp_path)), faults=faults)
            race.run(TURNS)
            race.read_back()
            check_order(race)
            # A reply that was lost, or a client that left, can take the news of an opening with it.
            assert {*race.openings().values()} <= ({1} if faults == 0.0 else {0, 1})
            judged += race.judged
        self.check_integrity(store_url)
        tally.add("operations in one order that explains every answer", judged)

    def test_processes_that_are_killed_lose_nothing_they_acknowledged(
        self, store_url: str, tmp_path: Path, tally: Tally
    ) -> None:
        kills = tally.choose(30, 2_500)
        race = Race(store_url, tmp_path)
        race.run_with_kills(kills)
        race.read_back()

        check_order(race)
        assert max(race.openings().values()) == 1
        self.check_integrity(store_url)
        tally.add("operations in one order that explains every answer", race.judged)
        tally.add("kill -9 of a racing process, nothing acknowledged was lost", kills)


def check_order(race: Race) -> None:
    """Fail with the first violation, as text."""
    for violation in race.unexplained():
        pytest.fail(str(violation))
