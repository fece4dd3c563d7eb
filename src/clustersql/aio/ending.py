"""The end of a transaction: COMMIT, ROLLBACK, and the autocommit mode, which may be a COMMIT too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..connection import rehearsal
from ..connection.forwarded import mode_changed
from ..connection.hooks import call_hooks
from ..connection.recovery import lose
from ..connection.work import Callbacks
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from . import guard
from .answers import Answering
from .cancellation import cancellable, outlived, requests
from .recovery import recover_commit


class Ending(Answering):
    """What ends the transaction of a connection."""

    __slots__ = ()

    async def commit(self) -> None:
        """Commit.  Raises the driver's error, `TransactionLost` (it did not happen) or `OutcomeUnknown`.

        Cancelled while the answer is awaited, the outcome is unknown: the `CancelledError` has a note that says so.
        """
        if hooks := await self._commit():
            call_hooks(hooks)

    async def _commit_block(self) -> None:
        """Commit what a block of ours has executed, or raise that the server has rolled it back."""
        if hooks := await self._commit(ours=True):
            call_hooks(hooks)

    async def _commit(self, ours: bool = False) -> Callbacks:
        """Commit, and return what is to be called because of it.  ``ours``: as for `State.uncommittable`."""
        session = self._state.session
        if session is None:
            self._require_nothing_lost()
        elif self._state.number is not None:
            self._require_same_session()
        if session is not None and self._state.answered is not None:
            await self._read_on()
        if (error := self._state.uncommittable(ours)) is not None:
            await self._end_commit(error)
        if rehearsal.planned and session is not None and (error := rehearsal.rehearsed(self._state)) is not None:
            await self._end_commit(error)
        if session is not None:
            driver, done, token = self._pool.driver, False, None
            if self._state.topology.guard is not None:
                token = await guard.prepare(self, session)
            self._state.cancelling = requests(self._pool.loop)
            try:
                with awaited(session):
                    if token is None or not token.fold:
                        done = await driver.commit(session.raw)
                    else:
                        done = await driver.commit_folded(session.raw, token.fold)
            except BaseException as exc:
                self._require_own(exc, phase=Phase.COMMIT)
                if token is not None:
                    await guard.failed(self, session, token, exc)
                await recover_commit(self, exc)
                done = True
            if not done:
                await self._end_commit(self._state.failed_commit())
        hooks = self._state.boundary(committed=True)
        if session is not None and (cancellation := outlived(self._state.cancelling)) is not None:
            self._end_committed(session, cancellation, hooks)
        return hooks

    async def rollback(self) -> None:
        """Roll back.  A connection that was lost meanwhile has rolled back already, so that is no error."""
        state = self._state
        if state.closed:
            raise state.returned()
        session = state.session
        if session is not None:
            state.cancelling = requests(self._pool.loop)  # a cancellation of before has ended something else already
            try:
                with awaited(session):
                    await self._forget_results(session)
                    await self._pool.driver.rollback(session.raw)
            except BaseException as exc:
                self._require_own(exc, phase=Phase.FETCH)
                if not state.facts(exc).lost:
                    raise
                lose(self, exc)
        state.forget_lost()
        if session is not None and (cancellation := outlived(state.cancelling)) is not None:
            session.tainted = True
            raise cancellation

    async def set_autocommit(self, on: bool) -> None:
        """Set the autocommit mode, on every driver; asyncpg has none of its own.  It is set again after a move.  Raises
        the driver's errors.
        """
        session = self._state.session or await self._revive()
        if on:
            await self._turn_on()
        await self._set_autocommit(self._pool.driver.set_autocommit, session.raw, on)

    async def _end_commit(self, error: BaseException) -> NoReturn:
        """Raise what a COMMIT would hide: its transaction is lost, or has failed.  That is its end all the same."""
        await self.rollback()
        self._state.transaction = self._state.transaction.ended_by(error)
        raise error

    async def _turn_on(self) -> None:
        """The autocommit mode is about to be turned on: where that commits what is open, it is a COMMIT with all that
        belongs to one.
        """
        self._require_autocommit()
        if self._state.mode_commits():
            await self.commit()

    async def _autocommit_method(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if any((*args, *kwargs.values())):
            await self._turn_on()
        return await self._set_autocommit(function, *args, **kwargs)

    async def _set_autocommit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        session = self._live()
        try:
            with awaited(session):
                result = await cancellable(function(*args, **kwargs))
        except BaseException as exc:
            self._require_own(exc, phase=Phase.FETCH)
            raise
        mode_changed(self._state, session.raw, "autocommit()")
        return result
