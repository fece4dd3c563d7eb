"""``async with conn.transaction()``: one block for every driver, a savepoint inside another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.recovery.verdict import Standing

if TYPE_CHECKING:
    from .connection import Connection


class Block:
    """A transaction, or a savepoint when one is open: kept on success, rolled back on an error, which passes."""

    __slots__ = ("_begun", "_connection", "_savepoint")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._savepoint: str | None = None
        self._begun = False

    async def __aenter__(self) -> Connection:
        connection = self._connection
        state = connection._state
        if state.transaction.explicit or state.standing is Standing.LATER:
            self._savepoint = f"clustersql_{state.count}"
            await connection.cursor().execute(f"SAVEPOINT {self._savepoint}")
        elif state.standing is Standing.NONE:
            await connection.cursor().execute("BEGIN")
            self._begun = True
        state.blocks += 1
        return connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection._state.blocks -= 1
        if self._savepoint is not None:
            await self._leave_savepoint(kind is None)
        elif kind is None:
            await self._connection._commit_block()
        elif self._begun:
            await self._connection.cursor().execute("ROLLBACK")
        else:
            await self._connection.rollback()

    async def _leave_savepoint(self, success: bool) -> None:
        state = self._connection._state
        session = state.session
        if success and state.transaction.undone:
            raise state.undone()
        # The transaction is gone, and its savepoint with it: the error that passes says why.
        if session is None or session.tainted or state.transaction.undone or state.broken is not None:
            return
        cursor = self._connection.cursor()
        if not success:
            await cursor.execute(f"ROLLBACK TO SAVEPOINT {self._savepoint}")
        await cursor.execute(f"RELEASE SAVEPOINT {self._savepoint}")
