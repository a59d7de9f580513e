"""A move while real workers serve: no key ever has two ids, and nothing that was acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from relocation import move_under_load


@pytest.mark.slow
async def test_workers_are_moved_to_another_store_under_load(tmp_path: Path) -> None:
    """To another kind of file, on the same host."""
    await move_under_load(f"disk://{tmp_path / 'old'}", f"sqlite://{tmp_path / 'new'}", tmp_path)
