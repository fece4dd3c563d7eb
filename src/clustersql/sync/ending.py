"""The end of a transaction: COMMIT, ROLLBACK, and the autocommit mode, which may be a COMMIT too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from ..connection import rehearsal
from ..connection.forwarded import mode_changed
from ..connection.hooks import call_hooks
from ..connection.interruption import broken_into, passes
from ..connection.recovery import lose
from ..connection.work import Callbacks
from ..core.recovery.verdict import Phase
from ..pool.session import awaited
from . import guard
from .answers import Answering
from .cursor import guarded
from .recovery import recover_commit


class Ending(Answering):
    """What ends the transaction of a connection."""

    __slots__ = ()

    def commit(self) -> None:
        """Commit.  Raises the driver's error, `TransactionLost` (it did not happen) or `OutcomeUnknown`."""
        if hooks := self._commit():
            call_hooks(hooks)

    def _commit_block(self) -> None:
        """Commit what a block of ours has executed, or raise that the server has rolled it back."""
        if hooks := self._commit(ours=True):
            call_hooks(hooks)

    def _commit(self, ours: bool = False) -> Callbacks:
        """Commit, and return what is to be called because of it.  ``ours``: as for `State.uncommittable`."""
        state = self._state
        session = state.session
        if session is None:
            self._require_nothing_lost()
        elif state.number is not None:
            self._require_same_session()
        if session is not None and state.answered is not None:
            self._read_on()
        if (error := state.uncommittable(ours)) is not None:
            self._end_commit(error)
        if rehearsal.planned and session is not None and (error := rehearsal.rehearsed(state)) is not None:
            self._end_commit(error)
        if session is not None:
            commit, token = session.raw.commit, None
            if state.topology.guard is not None and (token := guard.prepare(self, session)) is not None and token.fold:
                commit = partial(self._pool.driver.commit_folded, session.raw, token.fold)
            try:
                with awaited(session):
                    to_the_end = getattr(state.driver, "to_the_end", None)
                    if to_the_end is None:
                        commit()
                    else:
                        to_the_end(session.raw, commit)
            except Exception as exc:
                if token is not None:
                    guard.failed(self, session, token, exc)
                recover_commit(self, exc)
            except BaseException as exc:
                broken_into(self, exc, phase=Phase.COMMIT)
                raise
        return state.boundary(committed=True)

    def rollback(self) -> None:
        """Roll back.  A connection that was lost meanwhile has rolled back already, so that is no error."""
        state = self._state
        if state.closed:
            raise state.returned()
        if state.session is not None:
            try:
                with awaited(state.session):
                    self._forget_results(state.session)
                    state.session.raw.rollback()
            except BaseException as exc:
                if passes(self, exc, phase=Phase.FETCH):  # its session is closed, and so the server rolls back
                    state.forget_lost()
                    raise
                if not state.facts(exc).lost:
                    raise
                lose(self, exc)
        state.forget_lost()

    def _end_commit(self, error: BaseException) -> NoReturn:
        """Raise what a COMMIT would hide: its transaction is lost, or has failed.  That is its end all the same."""
        self.rollback()
        self._state.transaction = self._state.transaction.ended_by(error)
        raise error

    def _turn_on(self) -> None:
        """The autocommit mode is about to be turned on: where that commits what is open, it is a COMMIT with all that
        belongs to one.
        """
        self._require_autocommit()
        if self._state.mode_commits():
            self.commit()

    def _autocommit_method(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **kwargs: Any) -> Any:
            if any((*args, *kwargs.values())):
                self._turn_on()
            result = guarded(self, function)(*args, **kwargs)
            mode_changed(self._state, self._live().raw, "autocommit()")
            return result

        return changed
