"""``async with conn.transaction()``: one block for every driver, a savepoint inside another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..connection.block import BaseBlock
from ..core.recovery.verdict import Standing

if TYPE_CHECKING:
    from .connection import Connection


class Block(BaseBlock):
    """A transaction, or a savepoint when one is open: kept on success, rolled back on an error, which passes.

    psycopg's ``Rollback``, and with it ``Rollback(block)``, rolls back and does not pass, as in that driver's own
    block.  `start`, `commit` and `rollback` do the same without ``async with``, as asyncpg's own.
    """

    __slots__ = ("_isolation", "_modes")

    connection: Connection

    def __init__(
        self, connection: Connection, savepoint_name: str | None = None, force_rollback: bool = False, **modes: Any
    ) -> None:
        """``modes``: what else the driver's own ``transaction()`` takes.  Raises TypeError for what it does not, and
        what it raises.
        """
        super().__init__(connection, savepoint_name, force_rollback)
        self._modes, self._isolation = "", modes.get("isolation")
        if modes:
            compose: Callable[..., str] | None = getattr(self._state.driver, "modes", None)
            if compose is None:
                raise TypeError(f"transaction() got an unexpected keyword argument {next(iter(modes))!r}")
            self._modes = compose(**modes)

    async def __aenter__(self) -> Block:
        state = self._state
        if state.session is None:
            await self.connection._revive()
        if self._is_inside():
            if self._isolation:
                await self._require_isolation(self._isolation)
            self.savepoint_name = self.savepoint_name or f"clustersql_{state.blocks}_{state.count}"
            await self._execute("SAVEPOINT")
        else:
            await self._begin()
            self._begun = True
            if self.savepoint_name is not None:
                await self._execute("SAVEPOINT")
        state.blocks += 1
        return self

    async def _begin(self) -> None:
        """Begin where the driver does not do so with the next statement, and as the caller wants it."""
        if self._state.standing is Standing.NONE:
            await self.connection.cursor().execute(f"BEGIN {self._modes}".strip())
            self._by_text = True
        elif self._modes:
            await self.connection.cursor().execute(f"SET TRANSACTION {self._modes}")

    async def _require_isolation(self, isolation: str) -> None:
        """Raise the driver's error, as its own block does, where the transaction that is open has another one."""
        cursor = self.connection.cursor()
        await cursor.execute("SHOW transaction_isolation")
        [(outer,)] = await cursor.fetchall()
        if outer.replace(" ", "_") != isolation:
            raise self._state.driver.interface_error(
                f"nested transaction has a different isolation level: current {isolation!r} != outer {outer!r}"
            )

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        await self._leave(kind is None and not self._force)
        return self._asked_for(error)

    async def _leave(self, success: bool) -> None:
        self._state.blocks -= 1
        if not self._begun:
            await self._leave_savepoint(success)
        elif success:
            await self.connection._commit_block()
        elif self._by_text:
            await self.connection.cursor().execute("ROLLBACK")
        else:
            await self.connection.rollback()

    async def _leave_savepoint(self, success: bool) -> None:
        if self._has_savepoint(success):
            if not success:
                await self._execute("ROLLBACK TO SAVEPOINT")
            await self._execute("RELEASE SAVEPOINT")

    async def _execute(self, what: str) -> None:
        await self.connection.cursor().execute(self._text(what))

    async def start(self) -> None:
        """Begin, or set the savepoint."""
        await self.__aenter__()

    async def commit(self) -> None:
        """Commit, or release the savepoint."""
        await self._leave(True)

    async def rollback(self) -> None:
        """Roll back, to the savepoint where there is one."""
        await self._leave(False)
