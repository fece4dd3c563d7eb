"""Programs of tasks that are cancelled: by `asyncio.timeout`, by somebody's `Task.cancel`, once or twice, at any
moment.

A task that was cancelled ends as cancelled, `run` does not call its function again, and what its error says of its
tokens is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .flavours import INSERT
from .history import OK, UNKNOWN
from .programs import FAILURES, Client, Work, id_of, told

Program = Callable[["TaskClient", Any, Work], Awaitable[None]]


class TaskClient(Client):
    """One task of the user's program after the other, each cancelled at a random moment, or not at all."""

    asked = False
    """Whether the task under way was asked to end."""
    ended = False
    """Whether it was, before the error in which the latest call of its function ended."""

    async def run_tasks(self, cluster: Any, operations: int) -> None:
        """Do some things, one after the other."""
        async with cluster.aopen() as database:
            self.database = database
            for _ in range(operations):
                await asyncio.sleep(self.chance.random() * 0.4)
                await self.attempt(self.chance.choice(PROGRAMS))
        self.end()

    async def attempt(self, program: Program) -> None:
        """Do one thing in a task of its own, and note how it ended."""
        work, name, self.asked, self.ended = Work(self), program.__name__, False, False
        self.history.note(self.name, f"{name} ...")
        task = asyncio.ensure_future(self._ended(program, work))
        cancels = self.chance.choice([0, 1, 1, 2])
        timers = [asyncio.get_running_loop().call_later(self._soon(), self._cancel, task) for _ in range(cancels)]
        error = await task
        for timer in timers:
            timer.cancel()
        end = OK if error is None else await self._concluded(error, work)
        work.claim(end)
        self.history.outcomes[f"{name} {end}"] += 1
        self.history.note(self.name, f"{name} {end} {type(error).__name__}: {error}")
        if self.asked and not isinstance(error, asyncio.CancelledError):
            self.history.violated(f"{name} was cancelled, and ends as {error!r}")

    async def _concluded(self, error: BaseException, work: Work) -> str:
        end, text = told(error), id_of(error)
        if end != UNKNOWN or text is None:
            return end
        try:
            return work.settled(await self.database.settle(text, timeout=3.0), end)
        except FAILURES as exc:
            self.history.note(self.name, f"settle {type(exc).__name__}: {exc}")
            return end

    def _soon(self) -> float:
        return self.chance.random() * self.chance.choice([0.01, 0.05, 0.5])

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self.history.note(self.name, "is cancelled")
        self.asked = True
        task.cancel()

    async def _ended(self, program: Program, work: Work) -> BaseException | None:
        """Return the error in which ``program`` ends: who awaits a task is given a CancelledError without notes."""
        seconds = self._soon() * 4 if self.chance.random() < 0.5 else None
        try:
            async with asyncio.timeout(seconds) as bound:
                await program(self, self.database, work)
        except TimeoutError as exc:
            return exc.__cause__ or exc.__context__ or exc  # the first releases of Python 3.11 set no cause
        except (*FAILURES, asyncio.CancelledError) as exc:
            if bound.expired() and not isinstance(exc, asyncio.CancelledError):
                self.history.violated(f"its time was over, and it ends as {exc!r}")
            return exc
        return None

    def require_wanted(self) -> None:
        """A function of `run` is called: not again, when its task was asked to end before the former call's error."""
        if self.ended:
            self.history.violated("run calls its function again in a task that was cancelled")


def is_to_end() -> bool:
    """Tell whether the running task was asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def task_write(client: TaskClient, database: Any, work: Work) -> None:
    """A single write in autocommit mode."""
    await database.execute(INSERT, work.token())


async def task_transaction(client: TaskClient, database: Any, work: Work) -> None:
    """Some statements in ``async with``."""
    async with database.connection() as connection:
        for _ in range(client.chance.randint(1, 3)):
            await connection.execute(INSERT, work.token())
        work.together()


async def task_run(client: TaskClient, database: Any, work: Work) -> None:
    """A function in `Database.run`, which may be called again."""
    writes = [work.token() for _ in range(client.chance.randint(1, 3))]
    work.together()

    async def function(connection: Any) -> None:
        client.require_wanted()
        try:
            for one in writes:
                await connection.execute(INSERT, one)
        except FAILURES:
            client.ended = is_to_end()
            raise

    await database.run(function)


PROGRAMS: tuple[Program, ...] = (task_write, task_transaction, task_run)
