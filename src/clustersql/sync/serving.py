"""Which session serves a connection: how it gets one, loses one, and makes one clean."""

from __future__ import annotations

from time import monotonic

from ..connection.base import BaseConnection
from ..connection.recovery import note_lost
from ..core.booking.shelf import Session
from ..core.faults import Fault
from ..core.recovery.recover import Unrestorable
from ..core.words import first_line
from ..pool.session import awaited
from .mode import make
from .pool import Pool


class Serving(BaseConnection):
    """The session of a connection."""

    __slots__ = ()

    @property
    def _pool(self) -> Pool:
        return self._state.pool  # type: ignore[no-any-return]

    def _live(self) -> Session:
        """Return the session, a new one if it was lost and nothing is lost with it."""
        session = self._state.session
        return self._revive() if session is None else session

    def _revive(self) -> Session:
        state = self._state
        state.require_revivable()
        try:
            return self._acquire(self._timeout())
        except Unrestorable as exc:
            raise state.not_restored(exc) from exc

    def _acquire(self, timeout: float, avoid: str | None = None) -> Session:
        """Get a session, the first one or one in place of one that is gone, within ``timeout`` seconds.

        Raises `Unrestorable` when it could not be given the settings of the one that is gone.
        """
        state = self._state
        try:
            session = self._opened(timeout, avoid)
            if state.ledger.kept or (state.behind is not None and state.to_forget(session)):
                session = self._restored(session, timeout, avoid)
            state.hold(session)
        except BaseException:  # nobody else knows of a session that was lent and not stored yet
            state.session = None
            self._pool.reclaim(state)
            raise
        if state.deadline:
            self._pool.wake_by(state.deadline)
        return session

    def _opened(self, timeout: float, avoid: str | None) -> Session:
        state = self._state
        if state.arguments is None:
            return self._pool.checkout(state.want, timeout, avoid, state)
        session = self._pool.open_outside(state.want, timeout, state.arguments, avoid, state)
        autocommit = state.want.autocommit if state.mode_known else bool(session.autocommit)
        try:
            with awaited(session):
                make(self._pool.switching(session, autocommit, state.want.read_only), self._pool.driver, session.raw)
        except BaseException:  # nobody else knows of it
            self._pool.give_back(session, keep=False)
            raise
        return session

    def _restored(self, session: Session, timeout: float, avoid: str | None) -> Session:
        """Return ``session`` with the settings of the one that is gone, or another one with them, if it is lost
        meanwhile.
        """
        end = monotonic() + timeout
        while True:
            try:
                with awaited(session):
                    make(self._state.restoring(session), self._pool.driver, session.raw)
            except Exception as exc:
                if not self._pool.lost_in_switch(session, exc):
                    raise Unrestorable(f"its settings could not be restored: {first_line(exc)}") from exc
            except BaseException:  # with the answer pending
                session.tainted = True
                self._pool.give_back(session, keep=False)
                raise
            else:
                return session
            session = self._opened(max(0.0, end - monotonic()), avoid)

    def _drop(self) -> None:
        """Close the session; nothing of it can be used again."""
        state = self._state
        session = state.session
        try:
            state.lose()
            for cursor in state.alive_cursors():
                cursor._unbind()
            if session is not None:
                self._pool.give_back(session, False, state)
        except BaseException:
            # As in `__exit__`: the session must be the pool's, whatever broke in.
            if session is not None:
                self._pool.give_back(session, False, state)
            raise

    def _finish(self, session: Session) -> None:
        """Make a session clean and give it back; what cannot be made clean is closed."""
        state = self._state
        worth, keep, before = not (session.tainted or session.outside), False, (session.started, session.ended)
        try:
            if state.touched:
                if state.driver.abilities.leaves_results and self._cut_off(session):
                    worth = False
                else:
                    session.started = monotonic()  # `awaited`, written out
                    worth = self._detach_cursors(session) and worth and self._clean(session)
            keep = worth
        finally:  # whatever breaks in, nobody else knows of it any more
            session.started, session.ended = before
            session.statements += session.count
            session.count = 0
            state.pool.give_back(session, keep, state)

    def _cut_off(self, session: Session) -> bool:
        """Shut a session down of which something is unread: it may be more than anybody wants to wait for.  False:
        nothing is.
        """
        state = self._state
        cursors, driver = state.alive_cursors(), state.driver
        # A cursor whose session was lost has none of the driver's, or one of a session that is gone: nothing of it is
        # on its way here.
        if not driver.unread(session.raw, [cursor._raw for cursor in cursors if cursor._session is session]):
            return False
        driver.cut_off(session.raw)
        for cursor in cursors:
            cursor._forget()
        state.cursors = ()
        return True

    def _detach_cursors(self, session: Session) -> bool:
        state, clean = self._state, True
        cursors, state.cursors = state.cursors, ()
        for ref in cursors:
            cursor = ref()
            if cursor is not None:
                try:
                    cursor._detach()
                except Exception as exc:  # unread rows of a connection that is lost: nobody wants them any more
                    if state.driver.facts(exc, session.raw).fault is Fault.FOREIGN:
                        raise
                    clean = False
        return clean

    def _clean(self, session: Session) -> bool:
        state = self._state
        try:
            if state.must_roll_back(session):
                session.raw.rollback()
            if state.borrowed is not None:  # before the reset, which does what the driver's own object says
                state.borrowed.put_back(session.raw)
                session.autocommit = state.driver.autocommit(session.raw)
            return not (state.pins or state.unclean) or make(
                state.pool.resetting(session), state.pool.driver, session.raw
            )
        except Exception as exc:  # the caller's work has ended already: this is the pool's to know
            if state.driver.facts(exc, session.raw).fault is Fault.FOREIGN:
                raise
            note_lost(self._pool, session, exc)
            return False
