"""What becomes of a connection and its caller when recovery gave up: which error is raised, and what the connection is worth then.

Shared by both APIs; nothing here waits.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .core.faults import Fault
from .core.procedures import Lost, blamed, first_line
from .core.shelf import Session
from .core.verdict import Phase, Situation, Standing, Verdict
from .errors import OutcomeUnknown, TransactionLost
from .handle import Handle
from .pool import BasePool

TIMED_OUT = "clustersql: the time of the operation was over, so its connection was shut down"


CANCELLED_COMMIT = "clustersql: OutcomeUnknown: cancelled after it was sent, so it may have been committed or not"


def fail(connection: Handle, outcome: Lost, phase: Phase, situation: Situation) -> NoReturn:
    """Raise the error that a verdict asks for, and leave the connection in the state that goes with it."""
    error = outcome.error
    session = connection._state.session
    node = f"node {session.node!r}" if session is not None else "the node"
    facts = connection._state.facts(error) if session is not None else None
    in_transaction = phase is Phase.EXECUTE and situation.transaction is not Standing.NONE
    ended = facts is not None and (facts.lost or facts.fault is Fault.ROLLED_BACK)
    if ended or connection._state.refused is None:  # of a transaction that has ended, the later errors prove nothing
        connection._state.last_facts = facts
    connection._state.timed_out = situation.timed_out
    if facts is not None and facts.lost:
        connection._drop()
    for note in (outcome.note, TIMED_OUT if situation.timed_out else ""):
        if note:
            error.add_note(note)
    if in_transaction:
        connection._state.failed()
    if phase is Phase.COMMIT and outcome.verdict is Verdict.UNKNOWN:
        connection._state.doubtful_commit()
    if outcome.verdict is Verdict.PASS:
        if ended:  # and stays so: a later error of a statement alone must not let `run` commit what is left
            connection._state.refused = error
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
    failed = f"the time of the operation on {node} was over" if timed_out else f"{node} failed"
    if kind is TransactionLost:
        return f"{failed} before COMMIT was sent: nothing of the transaction has happened, run it again ({first_line(error)})"
    what = "COMMIT" if phase is Phase.COMMIT else "the statement"
    return f"{failed} after {what} was sent: it may have happened or not ({first_line(error)})"


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
