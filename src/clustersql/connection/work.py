"""The work that a handle has done and not yet committed: its transaction, and the gates before a COMMIT and a return.
No I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.recovery.transaction import NOTHING_OPEN, Transaction
from ..core.recovery.verdict import Standing
from ..core.statements.ledger import EMPTY
from ..core.statements.pins import Pin
from ..core.words import first_line
from ..errors import ClusterError, TransactionLost
from .carried import Carried
from .rows import Spent

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from .guard import Token

Callbacks = tuple[Callable[[], Any], ...]

WAITING = frozenset(("notifies()", "add_listener()", "add_notify_handler()"))
"""Calls of drivers that wait for notifications, or have somebody told of them, for as long as the connection lives."""


class Work(Carried):
    """What is open, what is lost, and what was committed since checkout."""

    transaction: Transaction
    """The transaction that is open, or the statement that stands alone."""
    callbacks: Callbacks
    """What is called once the transaction is committed."""
    touched: bool
    """Something may have been done on the session, so that there is something to commit or to undo."""
    committed: bool
    """Something was committed since checkout, for all we know: nothing may be run again from the start."""
    done: bool
    """Its work has ended well and is committed, so that what breaks into the return of the connection is no failure of
    the work."""
    spent: Spent | None
    """The iterators that ``run``'s attempts have read; None: it is not ``run`` that works with it."""
    cancelling: int | None
    """How often the task had been asked to end before the latest statement that was noted, or COMMIT (asyncio)."""

    # As in `Binding`: the class's, until they are set.
    attempt = 1
    """Which call of ``run``'s function it is given to."""
    blocks = 0
    """How many blocks of ours are open."""
    token: Token | None = None
    """The commit guard's of the open transaction; None: it has none yet."""
    changed = False
    """A statement has changed the session's user, or made its transactions read-only, so that no token can be
    written."""

    __slots__ = ("callbacks", "cancelling", "committed", "done", "spent", "touched", "transaction")

    @property
    def standing(self) -> Standing:
        """Where the next statement stands."""
        session = self.session
        if (
            session is not None
            and session.autocommit
            and not self.transaction.explicit
            and self.driver.abilities.autocommit
        ):
            return Standing.NONE
        return Standing.LATER if self.count else Standing.FIRST

    @property
    def in_run(self) -> bool:
        """Whether ``run`` has called the function that works with it, or a block of ours is open: then all of it is one
        transaction.
        """
        return self.spent is not None or self.blocks > 0

    def has_work(self) -> bool:
        """Whether a COMMIT has anything to do, or must say that it cannot."""
        session = self.session
        if session is None:
            return self.broken is not None and not self.given_back
        now = self.transaction
        return bool(session.count or self.pins or now.may_commit or now.undone or self.broken is not None)

    def leaves_reads_unread(self) -> bool:
        """Whether the transaction has provably only read, and something is unread: nothing is lost if it is cut off in
        place of a COMMIT.
        """
        session, driver = self.session, self.driver
        if (
            session is None
            or not session.read_only
            or self.transaction.unproven
            or self.transaction.refused is not None
        ):
            return False
        cursors = [cursor for cursor in self.alive_cursors() if cursor._session is session]
        return driver.unread(session.raw, [cursor._raw for cursor in cursors if cursor._raw is not None])

    def must_roll_back(self, session: Session) -> bool:
        """Whether a transaction may be open on ``session`` when it is given back."""
        return bool(session.count or self.transaction.may_commit) and self.transaction_mode(session)

    def doing(self) -> str:
        """Return what the handle is about, in PostgreSQL's words: ``executing``, ``idle in transaction`` or
        ``idle``.
        """
        session = self.session
        if session is None:
            return "idle"
        if session.started > session.ended:
            return "executing"
        return "idle in transaction" if self.must_roll_back(session) else "idle"

    def latest(self) -> str:
        """Return the latest statement, shortened and without any value; "": there was none on this session."""
        session = self.session
        return "" if session is None or session.statement is None else self.notes.shown(session.statement)

    def may_be_open(self, session: Session) -> bool:
        """Whether there is something for a ROLLBACK: what pins the session may have opened a transaction that we did
        not see.
        """
        return self.transaction.explicit or not session.autocommit or bool(self.pins)

    def transaction_mode(self, session: Session) -> bool:
        """Whether statements on ``session`` stand in a transaction."""
        return self.transaction.explicit or not session.autocommit or not self.driver.abilities.autocommit

    def mode_changed(self) -> bool:
        """The caller has set the driver's autocommit mode; False: the driver cannot tell which it is."""
        session = self.session
        mode = self.driver.autocommit(session.raw) if session is not None else None
        if session is None or mode is None:
            return False
        # pg8000 and asyncpg send no BEGIN from now on; what was begun stays open all the same.
        if mode and session.count and not session.autocommit and self.driver.in_transaction(session.raw) is not False:
            self.transaction = replace(self.transaction, explicit=True)
        session.autocommit = mode
        self.mode_is(mode)
        return True

    def mode_commits(self) -> bool:
        """Whether the autocommit mode, turned on now, would commit what is open: then that is a COMMIT as any other."""
        session = self.session
        return (
            session is not None
            and self.driver.abilities.mode_commits
            and not session.autocommit
            and (self.has_work() or bool(self.callbacks))
        )

    def unmanaged(self, name: str) -> None:
        """Something passes us by: the session may be in any state, and its transaction may have been committed."""
        self.pin(Pin(name, "the driver's own, which passes us by"))
        self.touched, self.transaction = True, self.transaction.unmanaged()
        if self.session is not None:
            self.session.tainted = True
            self.session.listening |= name in WAITING
            if self.number is None:
                self.number = self.driver.session_id(self.session.raw)

    # -- its end -------------------------------------------------------------------------------------------------------

    def uncommittable(self, ours: bool) -> BaseException | None:
        """Return the error in which a COMMIT ends without being sent; None: it may be sent.  The one gate before every
        COMMIT.

        ``ours``: we issue it, for ``run`` or at the end of a block, so that nothing is left out of what the caller
        meant as a whole.
        """
        session = self.session
        if self.broken is not None or session is None:
            return self.broken
        if ours and self.transaction.undone:
            return self.undone()
        return self.failed_commit() if self.driver.failed_transaction(session.raw) else None

    def doubtful_commit(self) -> None:
        """Nobody knows whether the transaction was committed, nor whether what it has set holds."""
        if self.ledger.pending:
            self.pin(Pin("COMMIT", "its outcome is unknown, and with it what was set before"))

    def boundary(self, committed: bool) -> Callbacks:
        """A transaction has ended; a new one begins with the next statement.  Returns what is to be called, if it was
        committed.
        """
        session, count = self.session, 0
        if session is not None:
            count, session.count = session.count, 0
            session.statements += count
        if committed and (count or self.transaction.may_commit or self.callbacks):
            self.committed = True
        self.transaction = NOTHING_OPEN
        if self.token is not None:
            self._spent(self.token, committed)
        if self.ledger is not EMPTY:
            self.ledger = self.ledger.ended(committed)
        callbacks, self.callbacks = self.callbacks, ()
        return callbacks if committed else ()

    def _spent(self, token: Token, committed: bool) -> None:
        """The transaction of ``token`` has ended."""
        self.token = None
        if committed and token.sent and self.topology.guard is not None:
            self.topology.guard.acknowledged(token.value, token.exported)

    def _count_anew(self) -> None:
        session = self.session
        if session is not None:
            session.statements += session.count
            session.count = 0

    def forget_lost(self) -> None:
        """The caller has rolled back: what was lost, or failed, is past."""
        if self.broken is not None:
            self.broken = None
            self.harmless = self._harmless()
        self.boundary(committed=False)

    def break_off(self, error: BaseException) -> None:
        """The session lives on, but nothing more may be executed on it until the caller rolls back."""
        self.broken = error
        self.harmless = set()
        for cursor in self.alive_cursors():
            cursor._unbind()

    def undone(self) -> ClusterError:
        """Return the error of what needs the transaction that the server has rolled back, from the error by which it
        said so.
        """
        cause = self.transaction.refused
        what = first_line(cause) if cause is not None else "its own rollback"
        error = self.error(TransactionLost, f"the server has rolled the whole transaction back, run it again ({what})")
        error.__cause__ = cause
        return error

    def failed_commit(self) -> ClusterError:
        """Return the error of a COMMIT that the server would answer with a silent rollback."""
        why = (
            "an earlier statement of this transaction failed, so the server would roll it back instead of committing it"
        )
        return self.error(TransactionLost, why)
