"""What authors of stores and plugins type. Never run; `mypy --strict` and `pyright` in strict mode read it.

An ignored error here is an error the checker must see: mypy reports an ignore that ignores nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import assert_type

from sessionguard import (
    AdoptingStore,
    ConfigurationError,
    GuardSettings,
    Reservation,
    Resolution,
    RetirableStore,
    Retirement,
    SessionGuard,
    SessionRecord,
    SessionStore,
    StoreUnavailable,
    Touch,
    hookimpl,
)
from sessionguard.testing import (
    AdoptionContract,
    AppProbe,
    Exchange,
    FailureContract,
    FaultyWire,
    RaceContract,
    RetirementContract,
    SessionStoreContract,
    WireFault,
)


class CellarStore(AdoptingStore, RetirableStore):
    """A store that conversations can be moved to and away from."""

    coordination = "cluster"

    def __init__(self, url: str, *, patience: float = 0.8) -> None:
        self._url = url
        self._patience = patience

    @classmethod
    def from_url(cls, url: str, settings: GuardSettings) -> CellarStore:
        if "?" in url:
            raise ConfigurationError(f"store: {url!r} has options a cellar does not know")
        assert_type(settings.namespace, str)
        assert_type(settings.retention, float | None)
        return cls(url)

    @property
    def location(self) -> str:
        return self._url

    def recall(self, key: str) -> SessionRecord | None:
        return None

    async def get(self, key: str) -> SessionRecord | None:
        raise StoreUnavailable("The cellar is flooded.")

    async def reserve(self, key: str, candidate_id: str, replacing: SessionRecord | None) -> Reservation:
        row = SessionRecord(candidate_id, 0, 0) if replacing is None else replacing
        return Reservation(row, row.session_id == candidate_id, 0)

    async def adopt(self, key: str, record: SessionRecord, replacing: SessionRecord | None) -> SessionRecord:
        return record.adopted(None, replacing)

    async def retirement(self) -> Retirement | None:
        return None

    async def retire(self, moved_to: str, *, finished: bool = False) -> None: ...

    async def revive(self) -> None: ...

    async def touch(self, updates: Sequence[Touch]) -> None: ...

    async def forget(self, key: str, session_id: str, idle_before: int | None = None) -> bool:
        return True

    async def scan(self, prefix: str = "") -> AsyncIterator[tuple[str, SessionRecord]]:
        yield prefix, SessionRecord("id", 0, 0)

    async def ping(self) -> int:
        return 0

    async def aclose(self) -> None: ...


class Cellar:
    """The plugin that brings it."""

    @hookimpl
    def sessionguard_register_stores(self) -> dict[str, Any]:
        return {"cellar": CellarStore.from_url}

    @hookimpl
    def sessionguard_new_session_id(self, session_key: str) -> str | None:
        return None

    @hookimpl
    def sessionguard_session_resolved(self, scope: dict[str, Any], resolution: Resolution) -> None:
        assert_type(resolution.session_id, str)

    @hookimpl
    def sessionguard_store_called(self, verb: str, outcome: str, seconds: float) -> None: ...


class HalfAMove(AdoptingStore):
    """One that cannot adopt."""

    coordination = "cluster"


HalfAMove()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]


class TestCellarStore(SessionStoreContract, FailureContract, AdoptionContract):
    """One fixture, and the contracts are kept."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SessionStore:
        return CellarStore(f"cellar://{tmp_path}")


class TestRaces(RaceContract):
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"cellar://{tmp_path}"


class TestRetirement(RetirementContract): ...


@pytest.fixture
def wire() -> Iterator[FaultyWire]:
    with FaultyWire("127.0.0.1", 6379) as wire:
        assert_type(wire.port, int)
        yield wire


async def talk(wire: FaultyWire) -> None:
    wire.fail(WireFault("drop", "reply", at=2, lasting=True))
    probe = AppProbe()
    exchange = await Exchange(SessionGuard(probe, plugins=[Cellar()]), [(b"x-openclaw-session-key", b"a")]).run()
    assert_type(exchange, Exchange)
    assert_type(exchange.sent[0]["type"], Any)
    wire.heal()
    wire.fail(WireFault("eat", "reply"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def read(retirement: Retirement, error: StoreUnavailable) -> tuple[str, int]:
    return error.code, error.status


SessionGuard(AppProbe(), store=CellarStore)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Exchange(AppProbe(), [("name", "value")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
