"""``with conn.transaction()``: one block for every driver, a savepoint inside another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.recovery.verdict import Standing

if TYPE_CHECKING:
    from .connection import Connection


class Block:
    """A transaction, or a savepoint when one is open: kept on success, rolled back on an error, which passes.

    psycopg's ``Rollback``, and with it ``Rollback(block)``, rolls back and does not pass, as in that driver's own
    block.
    """

    __slots__ = ("_begun", "_by_text", "_force", "connection", "savepoint_name")

    def __init__(self, connection: Connection, savepoint_name: str | None = None, force_rollback: bool = False) -> None:
        self.connection = connection
        self.savepoint_name = savepoint_name
        self._force = force_rollback
        self._begun = self._by_text = False

    def __enter__(self) -> Block:
        state = self.connection._state
        if state.session is None:
            self.connection._revive()
        if state.transaction.explicit or state.standing is Standing.LATER:
            self.savepoint_name = self.savepoint_name or f"clustersql_{state.count}"
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
        self.connection._state.blocks -= 1
        success = kind is None and not self._force
        if not self._begun:
            self._leave_savepoint(success)
        elif success and self.connection._state.transaction.undone:
            self.connection._end_commit(self.connection._state.undone())
        elif self._by_text:  # in autocommit mode psycopg2's own commit() does nothing
            self.connection.cursor().execute("COMMIT" if success else "ROLLBACK")
        elif success:
            self.connection._commit_block()
        else:
            self.connection.rollback()
        return self._asked_for(error)

    def _leave_savepoint(self, success: bool) -> None:
        state = self.connection._state
        session = state.session
        if success and state.transaction.undone:
            raise state.undone()
        # The transaction is gone, and its savepoint with it: the error that passes says why.
        if session is None or session.tainted or state.transaction.undone or state.broken is not None:
            return
        if not success:
            self._execute("ROLLBACK TO SAVEPOINT")
        self._execute("RELEASE SAVEPOINT")

    def _execute(self, what: str) -> None:
        name = str(self.savepoint_name)
        quote = self.connection._state.driver.dialect.quote
        plain = name.isidentifier() and name.islower()
        self.connection.cursor().execute(
            f"{what} {name}" if plain else f"{what} {quote}{name.replace(quote, quote * 2)}{quote}"
        )

    def _asked_for(self, error: Any) -> bool:
        """Whether ``error`` is the driver's way to ask for a rollback of this block, or of the innermost one."""
        rollback = getattr(self.connection._state.driver.module, "Rollback", None)
        return rollback is not None and isinstance(error, rollback) and error.transaction in (None, self)
