"""What is asked within one tick of the event loop travels together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST_TURNS = 8


class Coalescer(Generic[Q, A]):
    """Hands questions to `carry`, up to `most` at a time, whenever it gets a `turn`.

    That happens in tasks of its own, so whoever is cancelled cancels no command on its way. Questions are taken when
    the turn has come, right before they are sent: no answer is older than its question. `carry` returns an answer or
    an exception to each, in order.
    """

    def __init__(
        self,
        carry: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        turn: AbstractAsyncContextManager[Any],
        most: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._carry = carry
        self._turn = turn
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Q) -> asyncio.Future[A]:
        """Return the answer to come, or the exception that comes instead of it."""
        future: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((question, future))
        if not self._is_due:
            self._start()
        return future

    async def finish(self) -> None:
        """Wait for everything that is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self) -> None:
        self._is_due = True
        task = asyncio.ensure_future(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        async with self._turn:
            await self._gather()
            batch = self._take()
            answers = await self._answers([question for question, _ in batch]) if batch else ()
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
                future.exception()  # Nobody need complain if its receiver goes before it has looked.
            else:
                future.set_result(answer)

    async def _gather(self) -> None:
        """Wait for as long as every turn of the loop brings more, within limits: what travels together is cheaper.

        Who is alone does not wait. All this is before anything is sent, so it makes no answer older.
        """
        gathered = 1
        for _ in range(MOST_TURNS):
            if not gathered < len(self._waiting) < self._most:
                return
            gathered = len(self._waiting)
            await asyncio.sleep(0)

    def _take(self) -> Sequence[tuple[Q, asyncio.Future[A]]]:
        """Return what is sent now; whoever comes from here on starts the next batch."""
        wanted = [each for each in self._waiting if not each[1].done()]
        batch, self._waiting = wanted[: self._most], wanted[self._most :]
        self._is_due = False
        if self._waiting:
            self._start()
        return batch

    async def _answers(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        try:
            return await self._carry(questions)
        except Exception as error:
            return [error] * len(questions)
