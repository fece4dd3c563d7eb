"""What may follow an error: the guarantee table as a function.  ``(situation) -> verdict``.

An operation ends in one of three ways: it happened, it did not happen, or nobody can know.  Rules:

1. Nothing is run twice unless the first run provably had no effect, or the caller declared that twice does no harm.
2. Before COMMIT was sent nothing can have committed, except through a statement that may commit by itself.
3. A refusal (read-only, not ready) and a rollback that the server asserts prove that it did not happen.
4. A connection moves only if it leaves no session state behind (`movable`); what cannot move is reported, never papered
   over.
5. What is not proven is `UNKNOWN`.
6. What the driver has kept since before a change of the schema is forgotten; then the same statement may be sent on the
   same connection.
7. What is not the driver's passes: an exception that broke into its call proves nothing and asks for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..faults import Facts, Fault


class Phase(Enum):
    """What the driver was doing when it raised."""

    EXECUTE = "execute"
    FETCH = "fetch"
    COMMIT = "commit"


class Standing(Enum):
    """Where the statement stands.  What is not known to be outside a transaction is inside."""

    NONE = "autocommit"
    FIRST = "first statement"
    LATER = "later statement"


class Verdict(Enum):
    """What to do."""

    PASS = "the driver's error"
    AGAIN = "run it again on the same connection"
    ELSEWHERE = "run it again on another node"
    LOST = "TransactionLost"
    UNKNOWN = "OutcomeUnknown"
    DONE = "it happened"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the verdict depends on."""

    facts: Facts
    """What the adapter has read from the error."""
    phase: Phase = Phase.EXECUTE
    """What was under way."""
    transaction: Standing = Standing.NONE
    """Where in a transaction the statement stood."""
    proven: bool = False
    """What was sent is proven to only read, or declared idempotent.  Of a COMMIT: the whole transaction is proven to
    only read (an idempotent write whose COMMIT was lost has not happened for all we know)."""
    declared: bool = False
    """It is `proven` by the caller's word only: it may run again, but if it does not, nobody knows whether it has
    happened."""
    may_commit: bool = False
    """A statement of this transaction, or this one, may commit by itself."""
    movable: bool = True
    """No session state would be left behind, and the caller did not pin the work."""
    read_only: bool = False
    """We made the session read-only, so that a refused write is the caller's mistake and no news about the node."""
    on_replica: bool = False
    """The node is a replica, where a "serialization failure" is a recovery conflict and would come again."""
    timed_out: bool = False
    """It was we who shut the connection down, because the operation's time was over: no news about the node, and no
    time left."""
    repeatable: bool = True
    """What was sent can be sent once more; not where its rows came from what can be read once only, a generator for
    one."""
    rollback_ends: bool = False
    """A rollback that the server has made by itself ends the transaction, so that what follows would begin another."""


def verdict(s: Situation) -> Verdict:
    """Return what may follow; budget, deadline and the number of attempts are the caller's to check."""
    fault = s.facts.fault
    if fault is Fault.FOREIGN:
        return Verdict.PASS
    if fault in STALE and s.phase is Phase.EXECUTE and not s.facts.lost:
        return _stale(s)
    if s.phase is Phase.FETCH or fault in (Fault.STATEMENT, Fault.MISCONFIGURED):
        return _own_fault(s)
    if fault is Fault.READ_ONLY and s.read_only:
        return Verdict.PASS
    if s.phase is Phase.COMMIT:
        return _at_commit(s)
    decide = {Standing.NONE: _autocommit, Standing.FIRST: _first, Standing.LATER: _later}[s.transaction]
    return decide(s)


def undone(s: Situation) -> bool:
    """Tell whether the server has ended the transaction by its own rollback, while the session lives on."""
    inside = s.phase is Phase.EXECUTE and s.transaction is not Standing.NONE
    return inside and s.rollback_ends and s.facts.fault is Fault.ROLLED_BACK and not s.facts.lost


def uncertain_end(s: Situation) -> bool:
    """Tell whether a COMMIT that failed may have left its transaction open, on a server whose answer does
    not say so.
    """
    return s.phase is Phase.COMMIT and s.rollback_ends and not s.facts.lost and s.facts.fault is not Fault.ROLLED_BACK


def in_doubt(s: Situation) -> bool:
    """Tell whether this try of a write that was declared idempotent may have happened, so that only another try's
    success is an answer.
    """
    unheard = s.facts.not_sent or (s.facts.unheard and not s.may_commit)
    lost = s.facts.fault in (Fault.LOST, Fault.AMBIGUOUS) and not unheard
    commits = s.transaction is Standing.NONE or s.may_commit
    return s.declared and lost and commits and s.phase is Phase.EXECUTE


def rerunnable(facts: Facts, at_commit: bool, may_commit: bool) -> bool:
    """Tell whether ``run`` may call its function again after this driver error reached it: provably nothing was
    committed.
    """
    if may_commit or facts.fault is Fault.FOREIGN:
        return False
    if facts.fault is Fault.ROLLED_BACK:
        return True
    if at_commit:
        return facts.not_sent or facts.unheard or facts.undone_at_commit
    return facts.fault in _REFUSALS or facts.fault in STALE or facts.lost


STALE = (Fault.STALE_PLAN, Fault.STALE_TYPES)
"""Faults of what the driver keeps of a session."""
_REFUSALS = (Fault.READ_ONLY, Fault.NOT_READY, Fault.OVERLOADED)


def _own_fault(s: Situation) -> Verdict:
    """The statement's own error, or rows partly delivered: the driver's error says all, unless the session went down
    with a write.
    """
    if s.phase is Phase.COMMIT and s.facts.lost and not (s.proven or s.facts.undone_at_commit):
        return Verdict.UNKNOWN
    return Verdict.PASS


def _stale(s: Situation) -> Verdict:
    """A plan that was refused has done nothing; an answer that could not be read is that of a statement which has
    happened.
    """
    happened = s.transaction is Standing.NONE and s.facts.fault is Fault.STALE_TYPES and not s.proven
    again = s.repeatable and not s.may_commit and not happened and s.transaction is not Standing.LATER
    return Verdict.AGAIN if again else Verdict.PASS


def _at_commit(s: Situation) -> Verdict:
    fault = s.facts.fault
    if s.proven and not s.may_commit and fault is not Fault.ROLLED_BACK:
        return Verdict.DONE  # a transaction of reads has nothing to lose
    if fault is Fault.ROLLED_BACK:
        return Verdict.PASS
    if fault in _REFUSALS and s.facts.undone_at_commit:
        return Verdict.PASS
    if (s.facts.not_sent or s.facts.unheard) and not s.may_commit:
        return Verdict.LOST
    return Verdict.UNKNOWN


def _autocommit(s: Situation) -> Verdict:
    fault = s.facts.fault
    if fault in (Fault.LOST, Fault.AMBIGUOUS):
        if s.facts.not_sent or s.proven or (s.facts.unheard and not s.may_commit):
            return _move(s, Verdict.UNKNOWN if in_doubt(s) else Verdict.PASS)
        return Verdict.UNKNOWN
    if s.may_commit and not s.proven:
        return Verdict.PASS  # a refusal in the middle: what came before it may have been committed
    return _rolled_back(s) if fault is Fault.ROLLED_BACK else _move(s, Verdict.PASS)


def _first(s: Situation) -> Verdict:
    fault = s.facts.fault
    if s.may_commit and not (s.facts.not_sent or s.proven):
        return Verdict.UNKNOWN if fault in (Fault.LOST, Fault.AMBIGUOUS) else Verdict.PASS
    if fault is Fault.ROLLED_BACK:
        return _rolled_back(s)
    if in_doubt(s):
        return _move(s, Verdict.UNKNOWN)
    return _move(s, Verdict.LOST if fault is Fault.LOST or fault is Fault.AMBIGUOUS else Verdict.PASS)


def _later(s: Situation) -> Verdict:
    fault = s.facts.fault
    if fault is Fault.ROLLED_BACK:
        return Verdict.PASS
    if s.may_commit:
        return Verdict.UNKNOWN if fault in (Fault.LOST, Fault.AMBIGUOUS) else Verdict.PASS
    if fault in _REFUSALS and not s.movable:
        return Verdict.PASS  # the caller's own SET TRANSACTION READ ONLY is refused with the same code
    return Verdict.LOST


def _rolled_back(s: Situation) -> Verdict:
    if s.on_replica and not s.facts.lost:
        return _move(s, Verdict.PASS)
    if s.facts.lost:
        return _move(s, Verdict.PASS)
    return Verdict.AGAIN if s.repeatable else Verdict.PASS


def _move(s: Situation, otherwise: Verdict) -> Verdict:
    return Verdict.ELSEWHERE if s.movable and s.repeatable and not s.timed_out else otherwise
