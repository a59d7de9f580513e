"""Two seconds in which real processes ask the store for the same new and stale conversations at the same moments."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from sessionguard.cli.doctor.findings import green, red, yellow
from sessionguard.keys import row_key
from sessionguard.records import Diagnosis
from sessionguard.store import SessionStore

SUBJECT = "race"
NAMESPACE = "sessionguard-doctor"
PROCESSES, SECONDS, TURN_SECONDS = 3, 2.0, 0.05
READY_SECONDS, REPLY_SECONDS = 30.0, 30.0
LEFT_BEHIND = 60_000
"""Rows of a doctor who was killed are removed by the next one when they are older than this, in milliseconds."""

T = TypeVar("T")


class Answer(NamedTuple):
    """What one call was told; no id where there was no answer."""

    key: str
    session_id: str | None
    created: bool


async def check(store: SessionStore, url: str) -> list[Diagnosis]:
    """Race for rows that nobody else has, and remove them whatever happens."""
    run = uuid.uuid4().hex
    try:
        answers = await _race(store, url, run)
    except _RacerFailed as error:
        found = [red(SUBJECT, f"a process could not take part: {error}")]
    else:
        found = [judge(answers)]
    finally:
        left = await _clean(store, run)
    return [*found, red(SUBJECT, f"{left} rows could not be removed", "run this again in a minute")] if left else found


def judge(answers: Iterable[Answer]) -> Diagnosis:
    """Say whether every conversation got one id, which one call has written."""
    ids: dict[str, set[str]] = {}
    created: Counter[str] = Counter()
    calls = unanswered = 0
    for key, session_id, wrote in answers:
        calls += 1
        created[key] += wrote
        if session_id is None:
            unanswered += 1
        else:
            ids.setdefault(key, set()).add(session_id)
    forked = [key for key in ids if len(ids[key]) > 1 or created[key] > 1]
    if forked:
        return red(SUBJECT, f"{len(forked)} of {len(ids)} conversations got several ids", "do not use this store")
    if unanswered:
        says = f"{unanswered} of {calls} calls got no answer in time; the others agree"
        return yellow(SUBJECT, says, "look at the load of the store, and at the network")
    if unclaimed := sum(created[key] == 0 for key in ids):
        return red(SUBJECT, f"{unclaimed} of {len(ids)} conversations were there before", "do not use this store")
    return green(SUBJECT, f"{PROCESSES} processes, {calls} calls for {len(ids)} conversations: one id each")


class _RacerFailed(Exception):
    """A process of the race ended with an error; the message is the end of what it said."""


async def _race(store: SessionStore, url: str, run: str) -> list[Answer]:
    turns = [await _turn(store, run, number) for number in range(int(SECONDS / TURN_SECONDS))]
    plan = json.dumps({"url": url, "seconds": TURN_SECONDS, "turns": turns})
    async with contextlib.AsyncExitStack() as stack:
        racers = [await stack.enter_async_context(_racer(plan)) for _ in range(PROCESSES)]
        await _all(map(_ready, racers))
        start = f"{time.monotonic() + TURN_SECONDS}\n"
        told = await _all(_told(racer, start) for racer in racers)
    return list(itertools.chain.from_iterable(told))


async def _all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all at once; when one fails, the others have ended before it is told."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _turn(store: SessionStore, run: str, number: int) -> tuple[str, Sequence[Any] | None]:
    """Return the key of a turn, and for every other one the stale row that is to be replaced."""
    key = row_key(NAMESPACE, None, f"{run}-{number}")
    if number % 2 == 0:
        return key, None
    row = (await store.reserve(key, str(uuid.uuid4()), None)).record
    return key, (row.session_id, row.session_started_at, row.updated_at)


@contextlib.asynccontextmanager
async def _racer(plan: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "sessionguard.cli.doctor.racer")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, limit=2**24)
    try:
        await _say(process, f"{plan}\n")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _say(racer: asyncio.subprocess.Process, text: str) -> None:
    pipe = cast("asyncio.StreamWriter", racer.stdin)
    with contextlib.suppress(ConnectionError):
        pipe.write(text.encode())
        await pipe.drain()


async def _ready(racer: asyncio.subprocess.Process) -> None:
    await _line(racer, READY_SECONDS)


async def _told(racer: asyncio.subprocess.Process, start: str) -> list[Answer]:
    await _say(racer, start)
    return [Answer(*answer) for answer in json.loads(await _line(racer, SECONDS + REPLY_SECONDS))]


async def _line(racer: asyncio.subprocess.Process, seconds: float) -> bytes:
    output, errors = (cast("asyncio.StreamReader", pipe) for pipe in (racer.stdout, racer.stderr))
    try:
        line = await asyncio.wait_for(output.readline(), seconds)
    except asyncio.TimeoutError:
        raise _RacerFailed(f"it said nothing for {seconds:g} s") from None
    if not line:
        said = (await errors.read()).decode(errors="replace").strip()
        raise _RacerFailed(said.rpartition("\n")[2] or "it said nothing")
    return line


async def _clean(store: SessionStore, run: str) -> int:
    """Remove our rows, and old ones of others like us; returns how many of ours are still there."""
    old = await store.ping() - LEFT_BEHIND
    rows = [(key, row.session_id) async for key, row in store.scan(f"{NAMESPACE}/")]
    for key, session_id in rows:
        await store.forget(key, session_id, None if run in key else old)
    return len([key async for key, _ in store.scan(f"{NAMESPACE}/") if run in key])
