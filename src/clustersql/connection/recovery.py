"""The end of a recovery, and the half of its performing that is the same in both APIs; nothing here waits."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any, NoReturn

from ..core.booking.shelf import Session
from ..core.recovery.aftermath import aftermath
from ..core.recovery.recover import Lost, Unrestorable, blamed, recover
from ..core.recovery.verdict import STALE, Phase, Situation, Verdict
from ..core.statements.traits import Traits
from ..core.steps import Discard, Step, Steps, Tell
from ..core.view.observations import SessionLost
from ..drivers.contract import AnyDriver
from ..errors import ClusterError, ConfigError, OutcomeUnknown, TransactionLost
from ..pool.base import BasePool
from .base import BaseConnection
from .guard import doubted, id_of

ROLLED_BACK = "ROLLBACK"
"""PostgreSQL's status of a COMMIT whose transaction had failed; asyncpg cannot tell that before."""


def forget_plans(driver: AnyDriver, raw: Any) -> None:
    """Have the driver forget what it has prepared; an adapter of a third party may know nothing of it."""
    forget = getattr(driver, "forget_plans", None)
    if forget is not None:
        forget(raw)


class BasePerformer:
    """Holds the statement in hand, and does what `recover` asks for where that waits for nothing."""

    def __init__(
        self,
        connection: BaseConnection,
        call: Any,
        traits: Traits | None,
        phase: Phase,
        error: BaseException,
        sends: bool = True,
    ) -> None:
        """``sends`` False: nothing that could have an effect is sent, only a cursor is made."""
        self.connection = connection
        self.call = call
        self.traits = traits
        self.phase = phase
        self.error = error
        self.sends = sends
        self.deadline = monotonic() + connection._timeout()
        self.passing: BaseException | None = None

    def heed(self, error: Exception) -> None:
        """The search for another session ended with ``error``; what is not the driver's nor ours passes, whatever the
        outcome is.
        """
        own = self.connection._state.driver.error
        if not isinstance(error, (ClusterError, ConfigError, Unrestorable)) and not isinstance(error, own):
            self.passing = error

    def at_once(self, step: Step) -> None:
        """Perform a step that waits for nothing."""
        match step:
            case Tell(seen):
                self.tell(seen)
            case Discard():
                self.connection._drop()
            case _:
                raise AssertionError(step)

    def steps(self) -> Steps[Any | Lost]:
        """Return the recovery from the error."""
        session, topology = self.connection._state.session, self.connection._pool.topology
        assert session is not None
        limit, where = topology.settings.retry_limit, (session.node, session.generation)
        return recover(self.error, self.situation(self.error), *where, limit, topology.budget.spend, self.call)

    def situation(self, error: BaseException) -> Situation:
        """Return what the verdict depends on."""
        state = self.connection._state
        found = state.situation(error, self.phase, self.traits)
        if self.phase is Phase.COMMIT and state.token is not None:
            found = replace(found, facts=doubted(state, state.token, found.facts))
        if found.facts.fault in STALE and state.session is not None:
            forget_plans(state.driver, state.session.raw)
        return found if self.sends else replace(found, proven=True)

    @property
    def left(self) -> float:
        """Seconds until the operation's time is over."""
        return max(0.0, self.deadline - monotonic())

    def tell(self, seen: Any) -> None:
        """Tell the cluster what the error means for its node."""
        session = self.connection._state.session
        self.connection._state.losses += isinstance(seen, SessionLost)
        if session is not None:
            self.connection._pool.blame(session, seen, self.error)

    def ended(self, outcome: Any) -> Any:
        """Return what the recovery returned, or raise what has become of the operation."""
        if self.passing is not None:
            raise self.passing
        if isinstance(outcome, Lost):
            fail(self.connection, outcome)
        serving = self.connection._state.session
        if serving is not None and self.phase is not Phase.COMMIT:
            self.connection._pool.topology.recovered(serving.node, self.error)
            serving.count += self.sends
            self.connection._state.recoveries += 1
        return outcome


def fail(connection: BaseConnection, lost: Lost) -> NoReturn:
    """Raise the error that a verdict asks for, and leave the connection in the state that goes with it."""
    state, error = connection._state, lost.error
    session, refused = state.session, state.transaction.refused is not None
    tells = session is not None and state.driver.abilities.transaction_status
    left_open = session is not None and tells and state.driver.in_transaction(session.raw) is True
    after = aftermath(lost, session is not None, refused, state.in_run, left_open)
    for note in after.notes:
        error.add_note(note)
    if after.drop:
        connection._drop()
    if after.verdict is Verdict.PASS:
        state.apply(after, error)
        raise error
    raised = state.error(TransactionLost if after.verdict is Verdict.LOST else OutcomeUnknown, after.words)
    if isinstance(raised, OutcomeUnknown) and state.token is not None and state.token.sent:
        raised.commit_id = id_of(state, state.token)
    state.apply(after, raised)
    raise raised from error


def lose(connection: BaseConnection, error: BaseException) -> None:
    """The session of a connection is gone, which is news about its node."""
    session = connection._state.session
    if session is not None:
        note_lost(connection._pool, session, error)
        connection._drop()


def note_lost(pool: BasePool[Any], session: Session, error: BaseException) -> None:
    """Tell the cluster what the error of a session means for its node, if anything."""
    facts = pool.reading.facts(error, session.raw)
    seen = blamed(
        Situation(facts, read_only=bool(session.read_only), timed_out=session.timed_out),
        session.node,
        session.generation,
        str(error),
    )
    if seen is not None:
        pool.blame(session, seen, error)
