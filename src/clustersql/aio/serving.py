"""Which session serves a connection: how it gets one, loses one, and makes one clean."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from ..connection.base import BaseConnection
from ..connection.recovery import note_lost
from ..core.booking.shelf import Session
from ..core.faults import Fault
from ..core.recovery.recover import Unrestorable
from ..core.words import first_line
from ..errors import TransactionLost
from ..pool.session import awaited
from .cancellation import outlived, requests, swallowed
from .mode import make
from .pool import Pool


class Serving(BaseConnection):
    """The session of a connection."""

    __slots__ = ()

    _pool: Pool

    def _live(self) -> Session:
        """Return the session; one that was lost comes again only with a statement, for here nothing can be awaited."""
        session = self._state.session
        if session is None:
            self._state.require_revivable()
            raise self._state.error(TransactionLost, "the session was lost; run a statement, or take a new connection")
        return session

    async def _revive(self) -> Session:
        state = self._state
        state.require_revivable()
        try:
            return await self._acquire(self._timeout())
        except Unrestorable as exc:
            raise state.not_restored(exc) from exc

    async def _acquire(self, timeout: float, avoid: str | None = None) -> Session:
        """Get a session, the first one or one in place of one that is gone, within ``timeout`` seconds.

        Raises `Unrestorable` when it could not be given the settings of the one that is gone.
        """
        state = self._state
        if self._state.arguments is None:
            session = await self._pool.checkout(state.want, timeout, avoid)
        else:
            session = await self._outside(timeout, avoid, self._state.arguments)
        if state.ledger.kept or (state.behind is not None and state.to_forget(session)):
            session = await self._restored(session, timeout, avoid)
        state.hold(session)
        if state.deadline:
            self._pool.wake_by(state.deadline)
        return session

    async def _restored(self, session: Session, timeout: float, avoid: str | None) -> Session:
        """Return ``session`` with the settings of the one that is gone, or another one with them, if it is lost
        meanwhile.
        """
        end = monotonic() + timeout
        while True:
            try:
                with awaited(session):
                    await make(self._state.restoring(session), self._pool.driver, session.raw)
            except Exception as exc:
                if not self._pool.lost_in_switch(session, exc):
                    raise Unrestorable(f"its settings could not be restored: {first_line(exc)}") from exc
            except BaseException:  # with the answer pending
                session.tainted = True
                self._pool.give_back(session, keep=False)
                raise
            else:
                return session
            left = max(0.0, end - monotonic())
            if self._state.arguments is None:
                session = await self._pool.checkout(self._state.want, left, avoid)
            else:
                session = await self._outside(left, avoid, self._state.arguments)

    async def _outside(self, timeout: float, avoid: str | None, arguments: Mapping[str, Any]) -> Session:
        state, pool = self._state, self._pool
        session = await pool.open_outside(state.want, timeout, arguments, avoid)
        autocommit = state.want.autocommit if state.mode_known else bool(session.autocommit)
        try:
            with awaited(session):
                await make(pool.switching(session, autocommit, state.want.read_only), pool.driver, session.raw)
        except BaseException:  # nobody else knows of it
            pool.give_back(session, keep=False)
            raise
        return session

    def _drop(self) -> None:
        """Close the session; nothing of it can be used again."""
        session = self._state.lose()
        if session is not None:
            session.tainted = True
            self._pool.give_back(session, keep=False)

    def _forget_cursors(self) -> list[Any]:
        """Let every cursor refuse its use from now on.  Returns the driver's."""
        cursors, self._state.cursors = self._state.cursors, ()
        raws = []
        for ref in cursors:
            cursor = ref()
            if cursor is not None and (raw := cursor._forget()) is not None:
                raws.append(raw)
        return raws

    async def _finish(self, session: Session) -> bool:
        """Make a session clean.  Returns whether it is worth keeping."""
        state = self._state
        raws = self._forget_cursors() if state.cursors else []
        if state.driver.abilities.leaves_results and state.driver.unread(session.raw, raws):
            state.driver.cut_off(session.raw)  # to read what is left may take longer than anybody wants to wait
            session.tainted = True
        if session.tainted or session.outside:
            return False
        unclean = state.pins or state.unclean
        if not (raws or session.count or unclean or state.transaction.may_commit or state.borrowed):
            return True
        try:
            with awaited(session):
                for raw in raws:
                    await self._pool.driver.close_cursor(raw)
                if rolled_back := state.must_roll_back(session):
                    state.cancelling = requests(self._pool.loop)
                    await self._pool.driver.rollback(session.raw)
                if state.borrowed is not None:  # before the reset, which does what the driver's own object says
                    state.borrowed.put_back(session.raw)
                    session.autocommit = self._pool.driver.autocommit(session.raw)
                if rolled_back and (cancellation := outlived(state.cancelling)) is not None:
                    raise cancellation
                return not unclean or await make(self._pool.resetting(session), self._pool.driver, session.raw)
        except Exception as exc:  # the caller's work has ended already: this is the pool's to know
            session.tainted = True
            if (cancellation := swallowed(state, session, exc)) is not None:
                raise cancellation from exc
            if state.driver.facts(exc, session.raw).fault is Fault.FOREIGN:
                raise
            note_lost(self._pool, session, exc)
            return False
