"""What a connection of either API tells and sets without waiting for anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from ..config.options import changed_here
from ..errors import OutcomeUnknown, TransactionLost
from ..pool.routes import told
from .forwarded import lend_all
from .functions import check_plain
from .guard import commit_id
from .hooks import INSTEAD
from .rerun import may_rerun

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from ..core.policies.choice import Route
    from ..core.statements.pins import Pin
    from ..pool.base import BasePool
    from .state import State

H = TypeVar("H", bound="BaseConnection")


class BaseConnection:
    """The part of `sync.connection.Connection` and `aio.connection.Connection` that is the same."""

    __slots__ = ()

    _state: State

    if TYPE_CHECKING:

        @property
        def _pool(self) -> BasePool[Any]:
            """The pool that it was checked out of."""

    def _drop(self) -> None:
        """Close the session; nothing of it can be used again."""
        raise NotImplementedError

    def _live(self) -> Session:
        """Return the session that serves it now."""
        raise NotImplementedError

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection.  What is done with it is not recovered, and it is closed instead of going back
        to the pool.
        """
        session = self._live()
        self._state.unmanaged("driver_connection")
        return session.raw

    @property
    def node(self) -> str | None:
        """The name of the node that serves this connection now; None: none does."""
        session = self._state.session
        return session.node if session is not None else None

    @property
    def route(self) -> Route | None:
        """Why that node: what was asked for, what kept each other node out, and how it came about.  Its text is one
        line for a log, `as_dict` is ready for JSON; None: no node serves it now.

        Worked out when it is read, from the view of the checkout; no server is asked.
        """
        state = self._state
        session = state.session
        if session is None:
            return None
        return told(
            self._pool, state.want, (session.shelf, session.chosen, session.lent_at), state.moves, state.recoveries
        )

    @property
    def attempt(self) -> int:
        """Inside ``run``: which call of the function this is, from 1."""
        return self._state.attempt

    @property
    def commit_id(self) -> str:
        """The id of the open transaction's COMMIT, in advance: kept beside the work that it stands for,
        `Database.settle` tells what became of it.

        Needs the knob ``commit_guard``.  Its COMMIT is guarded also where it only reads.  Another one for each
        transaction.  Raises `ConfigError` without a guard.
        """
        if self._state.closed:
            raise self._state.returned()
        return commit_id(self._state)

    @property
    def pins(self) -> tuple[Pin, ...]:
        """What keeps this connection from moving to another node: each with ``what`` (the statement without its values,
        or the call) and ``why``.

        The first 16 different ones since checkout.
        """
        return self._state.pins

    def peek(self) -> Any:
        """Return the driver's own connection, to look something up: a type's oid, what it tells of itself, its
        adapters.

        It does not pin this connection, and what is registered on it goes along in a move; the session is reset fully
        when this connection is given back.  What changes data passes by us, as with ``driver_connection``: do not do it
        here.  Raises `TransactionLost` and `PoolClosed`.
        """
        session, state = self._live(), self._state
        lend_all(state, session.raw)
        state.touched = state.unclean = True
        return session.raw

    def may_run_again(self, error: BaseException, *, at_commit: bool = False) -> bool:
        """For frameworks that end the transaction themselves: whether all of it may be run again after ``error``, as
        ``run`` would decide.

        ``error``: what a call on this connection has raised, or what a framework has made of it; ask before the
        rollback, which forgets.  ``at_commit``: COMMIT was under way.  True: it provably did not happen, and may do
        better next time.
        """
        state, inner = self._state, error
        for _ in range(8):
            if isinstance(inner, (state.driver.error, TransactionLost, OutcomeUnknown)) or inner.__cause__ is None:
                break
            inner = inner.__cause__
        return isinstance(inner, Exception) and may_rerun(state, inner, at_commit)

    @contextmanager
    def options(self: H, **values: Any) -> Iterator[H]:
        """Within the block, statements have these options: ``timeout`` in seconds, ``idempotent``, ``move``.

        Raises `ConfigError` for what a session has from its checkout on, and for every other mistake.
        """
        state = self._state
        before = state.options, state.patience
        state.options = changed_here(state.options, values)
        self._bound(values.get("timeout") or state.patience)
        try:
            yield self
        finally:
            state.options = before[0]
            self._bound(before[1])

    def _bound(self, patience: float) -> None:
        """Let each statement take so many seconds at most; 0.0: as long as it takes."""
        session, self._state.patience = self._state.session, patience
        if session is not None:
            session.patience = patience
        if patience:
            self._pool.wake_by(monotonic() + patience)

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once, after the COMMIT of this transaction was acknowledged, and never if it is not.

        When it raises, the others are called all the same, and then it is raised, though the transaction is committed.
        In ``run``, and when a ``with`` commits, the connection has been given back by then.  Raises `ConfigError` for
        an async or a generator function.
        """
        check_plain(function, "on_commit()", INSTEAD)
        if self._state.given_back:
            raise self._state.returned()
        self._state.callbacks += (function,)
        self._state.touched = True  # so that leaving `with` looks for something to do

    def _timeout(self) -> float:
        """Seconds that an operation on this connection may take, with everything that it waits for."""
        timeout, deadline = self._state.options.timeout, self._state.deadline
        if deadline:
            return max(0.0, deadline - monotonic())
        return self._pool.timeout if timeout is None else timeout

    def _require_autocommit(self) -> None:
        """Raise `ConfigError` when the session cannot be in autocommit mode: only a transaction is read-only where
        others share it.
        """
        session = self._state.session
        if session is not None and session.shared:
            self._pool.require_autocommit(session, bool(session.read_only))

    def _require_same_session(self) -> None:
        """Raise `TransactionLost` where the driver has replaced its session by itself, by a call that passed us by."""
        state = self._state
        if state.replaced():
            error = state.error(
                TransactionLost,
                "the driver has put a new session under this connection: nothing of the transaction on the former one"
                " has happened",
            )
            state.broken, state.number = error, None
            self._drop()
            raise error

    def _require_nothing_lost(self) -> None:
        """COMMIT without a session: fine when nothing was executed since it was lost."""
        state = self._state
        if state.closed:
            raise state.broken or state.returned()
        if state.pins:  # a transaction may have been open that we did not see
            state.require_revivable()
