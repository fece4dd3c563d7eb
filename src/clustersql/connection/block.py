"""A block in a transaction, as far as both APIs have the same of it: its savepoint, and psycopg's ``Rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.recovery.verdict import Standing

if TYPE_CHECKING:
    from .base import BaseConnection
    from .state import State


class BaseBlock:
    """The part of `sync.transaction.Block` and `aio.transaction.Block` that is the same."""

    __slots__ = ("_begun", "_by_text", "_force", "connection", "savepoint_name")

    def __init__(
        self, connection: BaseConnection, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> None:
        """``savepoint_name``: of a savepoint also where the block begins the transaction.  ``force_rollback``: it ends
        so in any case.
        """
        self.connection: Any = connection
        self.savepoint_name = savepoint_name
        self._force = force_rollback
        self._begun = self._by_text = False

    @property
    def _state(self) -> State:
        return self.connection._state  # type: ignore[no-any-return]

    def _is_inside(self) -> bool:
        """Whether a transaction is open, or another block will begin one with its first statement."""
        state = self._state
        standing = state.standing
        return bool(
            state.transaction.explicit or standing is Standing.LATER or (state.blocks and standing is Standing.FIRST)
        )

    def _has_savepoint(self, success: bool) -> bool:
        """Whether the savepoint is there still; raises where the block cannot end well, because the server has rolled
        all back.
        """
        state = self._state
        session = state.session
        if success and state.transaction.undone:
            raise state.undone()
        # The transaction is gone, and its savepoint with it: the error that passes says why.
        return session is not None and not (session.tainted or state.transaction.undone or state.broken is not None)

    def _text(self, what: str) -> str:
        name = str(self.savepoint_name)
        quote = self._state.driver.dialect.quote
        plain = name.isidentifier() and name.islower()
        return f"{what} {name}" if plain else f"{what} {quote}{name.replace(quote, quote * 2)}{quote}"

    def _asked_for(self, error: Any) -> bool:
        """Whether ``error`` is the driver's way to ask for a rollback of this block, or of the innermost one."""
        rollback = getattr(self._state.driver.module, "Rollback", None)
        return rollback is not None and isinstance(error, rollback) and error.transaction in (None, self)
