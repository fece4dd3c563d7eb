"""What the adapters of asyncio drivers have in common; each driver's file holds only what differs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from ..contract import Own, Target
from .foreign import raised_by
from .reader import BaseDriver
from .unseen import unseen


class AsyncAdapter(BaseDriver):
    """A driver seen through `contract.AsyncDriver`: the parts that are the same for most."""

    outlives_cancellation: bool = False
    """A call of the driver's may return as if nothing had been though its task was cancelled meanwhile.  Then each one
    is looked at, also on the shortest way; a COMMIT, a ROLLBACK and a statement that was not seen before are in any
    case."""
    leaving: str = "close"
    methods: Mapping[str, Own] = {}
    begun: Mapping[str, Own] = {}

    def is_foreign(self, exc: BaseException, raw: Any) -> bool:
        """As for threads; but a transport that the loop has closed may also be a RuntimeError (uvloop), or be missed by
        its name.
        """
        if isinstance(exc, RuntimeError | AttributeError) and self.is_closed(raw) and raised_by(exc, self.packages):
            return False
        return super().is_foreign(exc, raw)

    async def dial(self, target: Target, timeout: float) -> Any:
        """Open a connection; leave no socket when that is cancelled.  `connect` bounds it in time."""
        raise NotImplementedError

    async def connect(self, target: Target, timeout: float) -> Any:
        """Open a connection within ``timeout`` seconds; the handshake counts too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await self.dial(target, timeout)
        # Not from the TimeoutError, whose traceback would keep the half-open socket for as long as the error is kept.
        raise self.operational_error(f"{self.name}: no connection within {timeout:g} s")

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode."""
        raise NotImplementedError

    async def set_read_only(self, raw: Any, on: bool) -> None:
        """Only asked of drivers that can work in shared sessions (`Abilities.shared`)."""
        raise NotImplementedError

    async def ping(self, raw: Any) -> Any:
        """Ask for a sign of life."""
        return await raw.ping()

    async def cursor(self, raw: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return a cursor of the driver."""
        return raw.cursor(*args, **kwargs)

    async def read_on(self, raw: Any, cursor: Any) -> None:
        """Only asked of drivers that leave results (`Abilities`)."""
        raise NotImplementedError

    async def plain_cursor(self, raw: Any) -> Any:
        """Return a cursor that gives tuples, whatever the user chose for his own."""
        return await self.cursor(raw, (), {})

    async def close_cursor(self, cursor: Any) -> None:
        """Close a cursor, with what is left of its result."""
        await cursor.close()

    async def ask(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` and return the rows of each (empty where it returns none).  Leaves no transaction open.

        Not after a cancellation: nobody may be made to wait then, and such a connection is closed anyway.
        """
        before = self.autocommit(raw)
        with unseen():
            try:
                answers = await self.answers(raw, statements)
            except Exception:
                await self.leave_transaction(raw, before)
                raise
            await self.leave_transaction(raw, before)
        return answers

    async def answers(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` and return the rows of each."""
        cursor = await self.plain_cursor(raw)
        answers = [await self._rows(cursor, statement) for statement in statements]
        await self.close_cursor(cursor)
        return answers

    async def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of ours as a part of the open transaction, and return its rows."""
        cursor = await self.plain_cursor(raw)
        rows = await self._rows(cursor, statement)
        await self.close_cursor(cursor)
        return rows

    async def commit_folded(self, raw: Any, text: str) -> bool:
        """Run a text that ends with COMMIT.  Returns what `commit` does."""
        with unseen():
            await self.within(raw, text)
        return True

    async def reset(self, raw: Any) -> bool:
        """Give the session its first state back by the dialect's statements; False: there are none."""
        if self.dialect.reset:
            await self.ask(raw, self.dialect.reset)
        return bool(self.dialect.reset)

    @staticmethod
    async def _rows(cursor: Any, statement: str) -> list[tuple[Any, ...]]:
        await cursor.execute(statement)
        return [tuple(row) for row in await cursor.fetchall()] if cursor.description else []

    async def leave_transaction(self, raw: Any, autocommit: bool | None) -> None:
        """Roll back what `ask` opened.  A node that refuses work still takes ROLLBACK (Galera answers COMMIT with 1047
        then).
        """
        if not autocommit:
            with contextlib.suppress(Exception):  # the connection is lost: the answer, or its error, has said so
                await self.rollback(raw)

    async def commit(self, raw: Any) -> bool:
        """Commit.  False: the transaction had failed, so that its COMMIT was a rollback."""
        failed = self.failed_transaction(raw)
        await raw.commit()
        return not failed

    async def to_the_end(self, raw: Any, call: Coroutine[Any, Any, Any]) -> Any:
        """Await ``call``, a COMMIT.  Where the driver, cancelled, would have the server end it by itself, it must
        not.
        """
        return await call

    async def rollback(self, raw: Any) -> None:
        """Roll back; nothing open is no error."""
        await raw.rollback()

    async def close(self, raw: Any) -> None:
        """Close politely and quietly."""
        with contextlib.suppress(Exception):
            await raw.close()

    def terminate(self, raw: Any) -> None:
        """Close at once without waiting."""
        raise NotImplementedError
