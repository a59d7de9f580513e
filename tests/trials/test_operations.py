"""As many conversations as anybody has go through the operator's commands, in memory that does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sessionguard import Tally

COMMAND = Path(sys.executable).with_name("sessionguard")
MOST_KILOBYTES = 150_000
OLD = 1_500_000_000_000
PADDING = "x" * 300


def write(path: Path, count: int) -> None:
    """A gateway's file; of the conversations, one in ten is in use."""
    now = int(time.time() * 1000)
    with path.open("w") as file:
        for number in range(count):
            used = now if number % 10 == 0 else OLD + number
            fields = {"sessionId": f"session-{number}", "updatedAt": used, "sessionStartedAt": OLD, "skills": PADDING}
            file.write(f"{',' if number else '{'}\n{json.dumps(f'agent:main:chat-{number:07}')}: {json.dumps(fields)}")
        file.write("\n}\n")


def run(*arguments: str) -> tuple[bytes, float, int]:
    """Run a command; returns its output, the seconds it took, and the most memory it had, in kilobytes."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([COMMAND, *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0
        return output.read(), time.monotonic() - started, usage.ru_maxrss


@pytest.fixture
def figures(tally: Tally) -> Iterator[list[tuple[str, float, int]]]:
    """What each command took, printed at the end."""
    figures: list[tuple[str, float, int]] = []
    yield figures
    for name, seconds, kilobytes in figures:
        tally.add(f"kB at most, and {seconds:.1f} s, for {name}", kilobytes)


def test_many_conversations_go_through_the_commands_in_bounded_memory(
    tmp_path: Path, tally: Tally, figures: list[tuple[str, float, int]]
) -> None:
    """Adopted, listed, and pruned but for the tenth that is in use."""
    count = tally.choose(20_000, 1_000_000)
    file, store = tmp_path / "sessions.json", f"disk://{tmp_path}/store"
    write(file, count)

    def operate(name: str, *arguments: str) -> bytes:
        output, seconds, kilobytes = run(*arguments, "--store", store, "--json")
        figures.append((name, seconds, kilobytes))
        return output

    adopted = json.loads(operate(f"import of {count:,}", "import", "openclaw", str(file)))
    again = json.loads(operate("import again", "import", "openclaw", str(file)))
    listed = operate("list --limit 10", "sessions", "list", "--limit", "10").splitlines()
    newest = operate("list --newest --limit 10", "sessions", "list", "--newest", "--limit", "10").splitlines()
    counted = json.loads(operate("prune, dry run", "sessions", "prune", "--idle", "30d"))
    some = json.loads(operate("prune --limit 1000", "sessions", "prune", "--idle", "30d", "--yes", "--limit", "1000"))
    pruned = json.loads(operate("prune", "sessions", "prune", "--idle", "30d", "--yes"))
    left = operate("list --limit 0", "sessions", "list", "--limit", "0").splitlines()

    assert (adopted["adopted"], again["known_already"]) == (count, count)
    assert [json.loads(line)["session_id"] for line in listed] == [f"session-{number}" for number in range(10)]
    assert [json.loads(line)["updated_at"] > OLD + count for line in newest] == [True] * 10
    assert (counted["conversations"], counted["idle"], counted["removed"]) == (count, count * 9 // 10, 0)
    assert (some["removed"], pruned["removed"]) == (1000, count * 9 // 10 - 1000)
    assert len(left) == count // 10
    assert [kilobytes for _, _, kilobytes in figures if kilobytes > MOST_KILOBYTES] == []
