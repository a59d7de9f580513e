"""A day of an operator on any store: everything is typed, every process is real, the store is the one at the URL."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from gateway import entry, write_json
from operators import process

NOW = int(time.time() * 1000)
DAY = 86_400_000


def operate(url: str, directory: Path) -> None:
    """Adopt a gateway's conversations, look at them, mend and prune them, and write back what is left."""

    def typed(*arguments: str, code: int = 0) -> Any:
        run = process(*arguments, SESSIONGUARD_STORE=url)
        assert run.returncode == code, run.stdout + run.stderr
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        return lines[0] if len(lines) == 1 else lines

    ages = {"a": 0, "b": 40, "*": 41, "c": 1}
    entries = {f"agent:main:{key}": entry(f"id-{key}", 1, NOW - days * DAY) for key, days in ages.items()}
    file = write_json(directory / "sessions.json", entries)
    dry = typed("import", "openclaw", str(file), "--dry-run", "--json")
    adopted = typed("import", "openclaw", str(file), "--json")
    again = typed("import", "openclaw", str(file), "--json")
    listed = typed("sessions", "list", "--newest", "--json")
    literal = typed("sessions", "list", "--prefix", "agent:main:*", "--json")
    (shown,) = typed("sessions", "show", "--hash", listed[0]["hash"], "--json")
    reset = typed("sessions", "reset", "C", "--json")
    conflict = typed("import", "openclaw", str(file), "--json", code=1)
    counted = typed("sessions", "prune", "--idle", "30d", "--json")
    pruned = typed("sessions", "prune", "--idle", "30d", "--prefix", "agent:main:b", "--yes", "--json")
    forgotten = typed("sessions", "forget", "a", "--yes", "--json")
    typed("sessions", "show", "a", "--json", code=1)
    left = process("export", "-", "--json", SESSIONGUARD_STORE=url)

    assert (dry["adopted"], adopted["adopted"], again["known_already"]) == (4, 4, 4)
    assert [each["session_id"] for each in listed] == ["id-a", "id-c", "id-b", "id-*"]
    assert literal["session_id"] == "id-*"
    assert (shown["key"], shown["session_started_at"]) == ("agent:main:a", 1)
    assert reset["previous_session_id"] == "id-c"
    assert conflict["conflicts"] == [{"key": "agent:main:c", "stands": reset["session_id"], "offered": "id-c"}]
    assert (counted["idle"], pruned["removed"], forgotten["status"]) == (2, 1, "forgotten")
    assert {key: each["sessionId"] for key, each in json.loads(left.stdout).items()} == {
        "agent:main:*": "id-*",
        "agent:main:c": reset["session_id"],
    }


def diagnose(url: str, *options: str) -> tuple[int, dict[str, str], str]:
    """Let the doctor look at the store; returns the exit code, the verdicts by subject, and all that was said."""
    run = process("doctor", "--json", *options, SESSIONGUARD_STORE=url)
    return run.returncode, {each["subject"]: each["verdict"] for each in json.loads(run.stdout)}, run.stdout


def left_by_the_doctor(url: str) -> str:
    """What is listed of the rows he has raced for."""
    return process("sessions", "list", "--namespace", "sessionguard-doctor", "--json", SESSIONGUARD_STORE=url).stdout
