"""What becomes of a connection when something that is not the driver's breaks into a call of the driver's
(`Fault.FOREIGN`).

Rules
-----
* The exception passes as it is: nothing is run again because of it, no node is blamed, and it is never kept back.
* How far the call had come is not known, and an answer may be pending: so the session is closed at once, before anybody
  can read that as the answer to his next statement.  What was open in it is lost until the caller rolls back.
* Where something may have been committed the exception has a note of it, and `run` does not call its function again.
* In the return of a connection it takes the place of how the work has ended, so it has a note of that: where it is
  done and committed (`State.done`) it looks like a failure, and where nobody knows, like a failure that is certain.

Shared by both APIs; nothing here waits.
"""

from __future__ import annotations

from ..core.booking.shelf import Session
from ..core.faults import Facts, Fault
from ..core.recovery.verdict import Phase, Standing
from ..core.statements.traits import Traits
from ..core.words import note
from ..errors import OutcomeUnknown, TransactionLost
from .base import BaseConnection
from .guard import note_id, settled_by
from .state import State

CANCELLED = "clustersql: OutcomeUnknown: cancelled after it was sent, so it may have been committed or not"
ANSWERED = "clustersql: the driver kept the cancellation back until it was answered, so what was executed has happened"
COMMITTED = "clustersql: the driver kept the cancellation back until the COMMIT was acknowledged, so it is committed"
INTERRUPTED = "clustersql: OutcomeUnknown: interrupted after it was sent, so it may have been committed or not"
DONE = (
    "clustersql: it broke into the return of the connection only: "
    "what was executed on it has happened, and is committed"
)

LOST = "an exception broke into a statement of this transaction, so nothing of it has happened; roll back"
UNKNOWN = "an exception broke into a transaction that may have committed a part of its own; roll back"


def is_foreign(connection: BaseConnection, error: BaseException) -> bool:
    """Tell whether ``error``, which a call on the present session raised, is not the driver's; without one there is
    nothing to recover.
    """
    state = connection._state
    if state.session is None:
        return True
    return not isinstance(error, Exception) or state.facts(error).fault is Fault.FOREIGN


def passes(
    connection: BaseConnection, error: BaseException, traits: Traits | None = None, phase: Phase = Phase.EXECUTE
) -> bool:
    """Tell whether ``error`` is foreign; then the session is closed, and the caller of this raises it as it is."""
    if not is_foreign(connection, error):
        return False
    broken_into(connection, error, traits, phase)
    return True


def broken_into(
    connection: BaseConnection, error: BaseException, traits: Traits | None = None, phase: Phase = Phase.EXECUTE
) -> None:
    """Close the session that the foreign ``error`` broke into, unless the adapter says that it is as good as before."""
    state, session = connection._state, connection._state.session
    if session is None:
        return
    _note(state, session, error, traits, phase, INTERRUPTED)
    if isinstance(error, Exception) and not state.facts(error).lost:
        session.count += 1  # it may have opened the transaction: somebody must roll back
        return
    connection._pool.interrupted(session)
    _end(state, phase)
    connection._drop()


def cancelled(
    connection: BaseConnection,
    session: Session,
    error: BaseException,
    traits: Traits | None = None,
    phase: Phase = Phase.EXECUTE,
    words: str = CANCELLED,
) -> None:
    """A call was cancelled: its session stays until the caller rolls back, for some drivers wait until the server has
    taken note.  ``words``: the note on what may have been committed.
    """
    state = connection._state
    _note(state, session, error, traits, phase, words)
    session.tainted = True
    # A driver that keeps its connection has asked the server itself, and waits for the answer.  A request of ours could
    # come after that, and would end what the caller executes next on this session.
    if state.driver.is_closed(session.raw):
        connection._pool.interrupted(session)
    if state.session is session:
        _end(state, phase)


def in_return(state: State, error: BaseException) -> None:
    """Note on ``error``, which is raised in the return of a connection, how the work has ended."""
    if state.done:
        note(error, DONE)
        return
    hidden, seen = error.__context__, set[int]()
    while hidden is not None and id(hidden) not in seen:
        if isinstance(hidden, OutcomeUnknown):
            note(error, f"clustersql: OutcomeUnknown: it broke into the return of the connection; before: {hidden}")
            if hidden.commit_id is not None:
                note(error, settled_by(hidden.commit_id))
            return
        seen.add(id(hidden))
        hidden = hidden.__context__


def _end(state: State, phase: Phase) -> None:
    """What was open is lost; the end of a COMMIT nobody knows."""
    state.last_facts = Facts(Fault.FOREIGN, lost=True)
    if phase is Phase.COMMIT:
        state.doubtful_commit()
        state.boundary(committed=False)
    elif state.standing is not Standing.NONE:
        state.failed()
        kind, words = (OutcomeUnknown, UNKNOWN) if state.transaction.may_commit else (TransactionLost, LOST)
        state.break_off(state.error(kind, words))


def _note(
    state: State, session: Session, error: BaseException, traits: Traits | None, phase: Phase, words: str
) -> None:
    """Note on the error that something may have been committed.  ``traits`` None: the statement leaves nothing behind,
    but may write.
    """
    reads = session.read_only and (traits is None or traits.read)
    commits = state.standing is Standing.NONE or state.transaction.may_commit
    alone = phase is Phase.EXECUTE and commits and not reads
    if phase is Phase.COMMIT or alone:
        note(error, words)
        note_id(state, error)
        state.committed = True  # for all we know: nothing may be run again
