"""Perform `core.procedures.recover` for threads: after an error, run the statement in hand again where that is provably safe."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.faults import Fault
from ..core.pooling import Session
from ..core.procedures import Lost, blamed, first_line, recover
from ..core.statements import Traits
from ..core.steps import Acquire, Discard, Execute, Failed, Rollback, Step, Tell
from ..core.verdict import Phase, Situation, Transaction, Verdict
from ..errors import OutcomeUnknown, TransactionLost
from .drive import drive
from .pool import awaited

if TYPE_CHECKING:
    from .connection import Connection
    from .cursor import Cursor
    from .pool import Pool

TIMED_OUT = "clustersql: the time of the operation was over, so its connection was shut down"

Call = tuple[str, Any, Any, dict[str, Any]]


def recover_statement(
    connection: Connection, cursor: Cursor, call: Call, traits: Traits | None, phase: Phase, error: Exception
) -> Any:
    """Return the statement's result from another try, or raise what has become of it."""
    session = connection._state.session
    if session is None:  # given back, or forked, while the statement ran
        raise error
    pool = connection._pool
    situation = connection._state.situation(error, phase, traits)
    performer = _Performer(connection, cursor, call, traits, phase, error)
    settings = pool.topology.settings
    steps = recover(
        error, situation, session.node, session.generation, settings.retry_limit, pool.topology.budget.spend
    )
    outcome = drive(steps, performer.perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, phase, situation)
    serving = connection._state.session
    if serving is not None:
        pool.topology.recovered(serving.node)
        serving.count += 1
    return outcome


def recover_commit(connection: Connection, error: Exception) -> None:
    """Return when the COMMIT that raised has happened all the same; else raise what has become of it."""
    session = connection._state.session
    if session is None:
        raise error
    situation = connection._state.situation(error, Phase.COMMIT, None)
    steps = recover(error, situation, session.node, session.generation, 0, lambda: False)
    outcome = drive(steps, _Performer(connection, None, None, None, Phase.COMMIT, error).perform)
    if isinstance(outcome, Lost):
        fail(connection, outcome, Phase.COMMIT, situation)


def fail(connection: Connection, outcome: Lost, phase: Phase, situation: Situation) -> NoReturn:
    """Raise the error that a verdict asks for, and leave the connection in the state that goes with it."""
    error = outcome.error
    session = connection._state.session
    node = session.node if session is not None else "a node"
    facts = connection._state.facts(error) if session is not None else None
    in_transaction = phase is Phase.EXECUTE and situation.transaction is not Transaction.NONE
    connection._state.last_facts, connection._state.timed_out = facts, situation.timed_out
    ended = facts is not None and (facts.lost or facts.fault is Fault.ROLLED_BACK)
    if facts is not None and facts.lost:
        connection._drop()
    for note in (outcome.note, TIMED_OUT if situation.timed_out else ""):
        if note:
            error.add_note(note)
    if outcome.verdict is Verdict.PASS:
        connection._state.refused = error if ended else None
        if phase is Phase.COMMIT:
            connection._state.boundary(committed=False)
        elif in_transaction and connection._state.session is None:
            connection._state.broken = error
        elif in_transaction and connection._state.session is not None:
            connection._state.session.count += (
                1  # it may have opened the transaction, and on PostgreSQL has failed it: somebody must roll back
            )
        raise error
    kind = TransactionLost if outcome.verdict is Verdict.LOST else OutcomeUnknown
    raised = connection._state.error(kind, _words(kind, node, phase, error, situation.timed_out))
    if in_transaction:
        connection._drop()
        connection._state.broken = raised  # until the caller rolls back: the rest of the transaction must not run alone
    if phase is Phase.COMMIT:
        connection._state.boundary(committed=False)
    connection._state.refused = raised
    raise raised from error


def _words(kind: type[Exception], node: str, phase: Phase, error: BaseException, timed_out: bool) -> str:
    failed = f"the time of the operation on node {node!r} was over" if timed_out else f"node {node!r} failed"
    if kind is TransactionLost:
        return f"{failed} before COMMIT was sent: nothing of the transaction has happened, run it again ({first_line(error)})"
    what = "COMMIT" if phase is Phase.COMMIT else "the statement"
    return f"{failed} after {what} was sent: it may have happened or not ({first_line(error)})"


def note_lost(pool: Pool, session: Session, error: BaseException) -> None:
    """Tell the cluster what the error of a session means for its node, if anything."""
    facts = pool.topology.driver.facts(error, session.raw)
    seen = blamed(
        Situation(facts, read_only=bool(session.read_only), timed_out=session.timed_out),
        session.node,
        session.generation,
        str(error),
    )
    if seen is not None:
        pool.blame(session, seen, error)


class _Performer:
    """Does what `recover` asks for, with the statement in hand."""

    def __init__(
        self,
        connection: Connection,
        cursor: Cursor | None,
        call: Call | None,
        traits: Traits | None,
        phase: Phase,
        error: BaseException,
    ) -> None:
        self.connection = connection
        self.cursor = cursor
        self.call = call
        self.traits = traits
        self.phase = phase
        self.deadline = monotonic() + connection._timeout()
        self.error = error

    def perform(self, step: Step) -> object:
        match step:
            case Tell(seen):
                self._tell(seen)
                return None
            case Discard():
                self.connection._drop()
                return None
            case Rollback():
                return self._rollback()
            case Acquire(avoid):
                return self._acquire(avoid)
            case Execute():
                return self._execute()
        raise AssertionError(step)

    def _tell(self, seen: Any) -> None:
        session = self.connection._state.session
        if session is not None:
            self.connection._pool.blame(session, seen, self.error)

    def _rollback(self) -> bool:
        session = self.connection._state.session
        try:
            if session is not None and not (session.autocommit and not self.connection._state.explicit):
                with awaited(session):
                    session.raw.rollback()
        except Exception:
            return False
        return session is not None

    def _acquire(self, avoid: str | None) -> tuple[str, int]:
        connection = self.connection
        session = connection._acquire(max(0.0, self.deadline - monotonic()), avoid)
        return session.node, session.generation

    def _execute(self) -> object:
        connection, cursor, call = self.connection, self.cursor, self.call
        assert cursor is not None
        assert call is not None
        session = connection._state.session
        assert session is not None
        try:
            if cursor._session is not session:
                cursor._bind()
            with awaited(session):
                result = cursor._call(*call)
        except Exception as exc:
            self.error = exc
            return Failed(exc, connection._state.situation(exc, self.phase, self.traits))
        return cursor if result is cursor._raw else result
