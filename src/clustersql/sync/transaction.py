"""``with conn.transaction()``: one block for every driver, a savepoint inside another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..connection.block import BaseBlock
from ..core.recovery.verdict import Standing

if TYPE_CHECKING:
    from .connection import Connection


class Block(BaseBlock):
    """A transaction, or a savepoint when one is open: kept on success, rolled back on an error, which passes.

    psycopg's ``Rollback``, and with it ``Rollback(block)``, rolls back and does not pass, as in that driver's own
    block.
    """

    __slots__ = ()

    connection: Connection

    def __enter__(self) -> Block:
        state = self._state
        if state.session is None:
            self.connection._revive()
        if self._is_inside():
            self.savepoint_name = self.savepoint_name or f"clustersql_{state.blocks}_{state.count}"
            self._execute("SAVEPOINT")
        else:
            if state.standing is Standing.NONE:
                self.connection.cursor().execute("BEGIN")
                self._by_text = True
            self._begun = True
            if self.savepoint_name is not None:
                self._execute("SAVEPOINT")
        state.blocks += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        self._state.blocks -= 1
        success = kind is None and not self._force
        if not self._begun:
            self._leave_savepoint(success)
        elif success and self._state.transaction.undone:
            self.connection._end_commit(self._state.undone())
        elif self._by_text:  # in autocommit mode psycopg2's own commit() does nothing
            self.connection.cursor().execute("COMMIT" if success else "ROLLBACK")
        elif success:
            self.connection._commit_block()
        else:
            self.connection.rollback()
        return self._asked_for(error)

    def _leave_savepoint(self, success: bool) -> None:
        if self._has_savepoint(success):
            if not success:
                self._execute("ROLLBACK TO SAVEPOINT")
            self._execute("RELEASE SAVEPOINT")

    def _execute(self, what: str) -> None:
        self.connection.cursor().execute(self._text(what))
