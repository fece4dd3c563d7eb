"""psycopg 3's asyncio API.

A cancelled call of the program's asks the server to cancel and waits up to 5 seconds for that
(``AsyncConnection._try_cancel``); the connection is good afterwards, in a failed transaction where there was one.  The
driver closes a dial that was cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from .base import sockets
from .base.async_adapter import AsyncAdapter
from .contract import Target
from .psycopg import PsycopgReader, forget_prepared


class AsyncPsycopg(PsycopgReader, AsyncAdapter):
    """Adapter for ``psycopg.AsyncConnection``."""

    async def dial(self, target: Target, timeout: float) -> Any:
        """Connect.  Names are resolved by the loop; libpq's own timeout of whole seconds ends later than ours."""
        return await self.module.AsyncConnection.connect(target.dsn or "", **self.arguments(target, timeout))

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode, without a round trip."""
        if bool(raw.autocommit) is not on:
            await raw.set_autocommit(on)

    async def set_read_only(self, raw: Any, on: bool) -> None:
        """Let psycopg begin its transactions so."""
        await raw.set_read_only(on or None)

    async def plain_cursor(self, raw: Any) -> Any:
        """Return a plain cursor with rows as tuples."""
        return self.module.AsyncCursor(raw, row_factory=self.module.rows.tuple_row)

    async def answers(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run them in autocommit mode: one round trip for each, and nothing to roll back.

        Not cancelled: psycopg would wait for a server that is frozen 5 seconds for the connection to do that and 5 more
        for the statement's end; so long would `close` take.
        """
        rows: list[list[tuple[Any, ...]]] = await self.to_the_end(raw, self._answers(raw, statements))
        return rows

    async def commit(self, raw: Any) -> bool:
        """Commit, which is not cancelled."""
        return bool(await self.to_the_end(raw, super().commit(raw)))

    async def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """Not prepared, however often: each token's text is another one."""
        async with await self.plain_cursor(raw) as cursor:
            await cursor.execute(statement, prepare=False)
            return list(await cursor.fetchall()) if cursor.description else []

    async def commit_folded(self, raw: Any, text: str) -> bool:
        """Run a text that ends with COMMIT, which is not cancelled."""
        await self.to_the_end(raw, self._committed(raw, text))
        return True

    async def _committed(self, raw: Any, text: str) -> None:
        async with raw.lock:
            await raw.wait(self.folded(raw, text))

    async def to_the_end(self, raw: Any, call: Coroutine[Any, Any, Any]) -> Any:
        """Await ``call`` in a task of its own, which is not cancelled.

        Else psycopg would ask the server to cancel, and that ends a COMMIT's wait for its synchronous standby:
        everybody would see its rows, though one server only has them.  The connection is shut down instead, which is
        closed after a cancellation anyway, and the task ends.
        """
        working = asyncio.ensure_future(call)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            self.terminate(raw)
            try:
                with contextlib.suppress(Exception):
                    await working
            finally:
                # Its answer may have been in the socket already: then it went well, and nobody has closed the
                # connection.
                self.terminate(raw)
            raise

    async def _answers(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        await self.set_autocommit(raw, True)
        return await super().answers(raw, statements)

    async def reset(self, raw: Any) -> bool:
        """DISCARD ALL."""
        return await super().reset(raw) and forget_prepared(raw)

    async def leave_transaction(self, raw: Any, autocommit: bool | None) -> None:
        """Give the mode back."""
        with contextlib.suppress(self.module.Error):
            await self.set_autocommit(raw, bool(autocommit))

    def terminate(self, raw: Any) -> None:
        """Shut the socket down, and close it unless a call still waits on it.

        That call wakes and finds the end.  Were the descriptor closed under it, the loop would forget it and never wake
        the call.
        """
        with contextlib.suppress(Exception):
            if (descriptor := self.descriptor(raw)) is not None:
                sockets.shut_down(descriptor)
            if not raw.lock.locked():
                raw.pgconn.finish()


def adapter(module: Any) -> AsyncPsycopg:
    """Return the adapter over ``module``."""
    return AsyncPsycopg(module)
