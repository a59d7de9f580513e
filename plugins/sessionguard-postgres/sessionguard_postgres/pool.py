"""The connections of one event loop, opened when there is something to do.

Whoever asks waits for a future and may leave at any time. The statement runs in a task of the pool, to its end, so that
a connection is never left in the middle of an answer; one of which that is not certain is not used again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from sessionguard import StoreUnavailable
from sessionguard.ear import Ear
from sessionguard_postgres.faults import CONFLICTS, is_lost, leaves_a_doubt, translated
from sessionguard_postgres.headstart import begun
from sessionguard_postgres.hearing import hear
from sessionguard_postgres.job import JOB_SECONDS, Job

if TYPE_CHECKING:
    from sessionguard_postgres.job import Connection, Work

IDLE_SECONDS = 300.0
CLOSE_SECONDS = 1.0
WATCH_SECONDS = 0.1
STATEMENT_SECONDS = 0.8

log = logging.getLogger("sessionguard")


class ConnectionPool:
    """At most `size` connections, opened by `connect`; `location` is for messages, `when_closed` is called once."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        size: int,
        location: str,
        when_closed: Callable[[], object],
    ) -> None:
        self.connections: set[Connection] = set()
        self.ears: set[Connection] = set()
        self.ear = Ear(functools.partial(hear, connect, self.ears))
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._size = size
        self._location = location
        self._when_closed = when_closed
        self._idle: deque[tuple[Connection, float]] = deque()
        self._jobs: deque[Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._busy: dict[Connection, tuple[Job, float]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._life = self._until_closed()
        self._lives = False
        self._reported = ""

    def submit(self, work: Work, *, repeatable: bool = True) -> asyncio.Future[Any]:
        """Run `work` on a connection; the answer is StoreUnavailable, ConfigurationError or CorruptRecord if it fails.

        A `repeatable` one is sent once more when its connection is lost under it.
        """
        job = Job(work, self._loop, repeatable=repeatable)
        connection = self._rested(job.since)
        if connection is not None:
            self._busy[connection] = job, job.since
            self._start(connection, (job, begun(work(connection))))
        else:
            self._jobs.append(job)
            if len(self._workers) < self._size:
                self._start(None)
        if self._watch is None:
            self._watch = self._loop.call_later(WATCH_SECONDS, self._end_what_is_late)
        return job.answer

    async def aclose(self) -> None:
        """Finish what was asked for, and close every connection."""
        await self._live()
        await self._life.aclose()

    def _rested(self, now: float) -> Connection | None:
        """Return the connection used last of those that rest; end those that have rested for long."""
        while self._idle and self._idle[0][1] < now - IDLE_SECONDS:
            self._end(self._idle.popleft()[0])
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
            self.connections.discard(connection)
        return None

    def _start(self, connection: Connection | None, first: tuple[Job, Awaitable[Any]] | None = None) -> None:
        self._workers.add(self._loop.create_task(self._work(connection, first)))

    async def _work(self, connection: Connection | None, first: tuple[Job, Awaitable[Any]] | None) -> None:
        """Finish what has begun, then do what waits, on a connection that is opened if need be, and let it rest."""
        try:
            if connection is not None and first is not None:
                await self._do(*first, connection)
            while self._jobs:
                if connection is None or connection.is_closed():
                    connection = await self._open()
                    if connection is None and self.connections:
                        return
                elif not (job := self._jobs.popleft()).answer.done():
                    self._busy[connection] = job, self._loop.time()
                    await self._do(job, job.work(connection), connection)
        except BaseException:
            if connection is not None:
                self._end(connection)
            raise
        finally:
            # Not in a callback, which would come too late for a job that is looking for a worker right now.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        if connection is not None and not connection.is_closed():
            self._idle.append((connection, self._loop.time()))

    async def _open(self) -> Connection | None:
        """Return a new connection, None if there is none to be had; who has waited for it need not wait any longer."""
        self.connections = {connection for connection in self.connections if not connection.is_closed()}
        started = self._loop.time()
        try:
            await self._live()
            connection = await self._connect()
        except Exception as error:
            # Jobs that came meanwhile have a chance of their own.
            while self._jobs and self._jobs[0].since <= started and not self.connections:
                self._jobs.popleft().fail(self._told(error))
            return None
        self.connections.add(connection)
        return connection

    async def _do(self, job: Job, answer: Awaitable[Any], connection: Connection) -> None:
        try:
            try:
                job.deliver(await answer)
            except CONFLICTS:
                job.deliver(await job.tried_again(connection))
            self._reported = ""
        except Exception as error:
            # A driver whose connection is ended under it may stumble over that in any way.
            lost = is_lost(error) or connection.is_closed()
            if leaves_a_doubt(error):
                self._end_all(connection)
            if lost and job.repeatable and not job.answer.done():
                job.repeatable = False
                self._jobs.appendleft(job)
            else:
                job.fail(self._told(error))
        except BaseException:
            job.fail(StoreUnavailable("The session store was closed; try again."))
            raise
        finally:
            del self._busy[connection]

    def _end_what_is_late(self) -> None:
        """Answer those who have waited too long, and end what takes too long; look again while there is something."""
        now = self._loop.time()
        for job in [*self._jobs, *(job for job, _ in self._busy.values())]:
            if job.since <= now - JOB_SECONDS:
                job.fail(StoreUnavailable("The session store did not answer in time; try again."))
        for connection in [each for each, (_, since) in self._busy.items() if since <= now - STATEMENT_SECONDS]:
            self._end_all(connection)
        waits = self._jobs or self._busy
        self._watch = self._loop.call_later(WATCH_SECONDS, self._end_what_is_late) if waits else None

    def _told(self, error: Exception) -> Exception:
        """Return the error as our callers know it; the log has the driver's own words, once."""
        told = translated(error, self._location)
        if isinstance(told, StoreUnavailable) and repr(error) != self._reported:
            self._reported = repr(error)
            log.warning("the session store %s failed: %r", self._location, error)
        return told

    def _end_all(self, connection: Connection) -> None:
        """End a connection that is lost, and those that rest: what befell it has probably befallen them."""
        self._end(connection)
        while self._idle:
            self._end(self._idle.pop()[0])

    def _end(self, connection: Connection) -> None:
        self.connections.discard(connection)
        connection.terminate()

    async def _live(self) -> None:
        """See to it that the end of the loop is ours: it closes its asynchronous generators before it is closed."""
        if not self._lives:
            self._lives = True
            await self._life.__anext__()

    async def _until_closed(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._close()

    async def _close(self) -> None:
        self._when_closed()
        await self.ear.aclose()
        if self._workers:
            await asyncio.wait([*self._workers], timeout=JOB_SECONDS)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        closing = [connection.close(timeout=CLOSE_SECONDS) for connection in self.connections]
        await asyncio.gather(*closing, return_exceptions=True)
        self.connections.clear()
        self._idle.clear()
