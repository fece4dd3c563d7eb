"""What becomes of a connection and its caller when recovery gave up.  ``(Lost, ...) -> Aftermath``; `State.apply` does
what it says.

Rules
-----
1. The last try decides: its error, its situation and its node.  What the first one met is past.
2. A transaction that is gone stays gone until the caller has rolled back, or the rest of it would run alone.
3. A COMMIT ends its transaction, whatever became of it; but one that failed on SQLite, because somebody reads, has left
   it open: then it goes on, and may be committed again.
4. A transaction that the server has ended by its own rollback is over: what follows would be another one.  Within
   ``run``, whose function is one transaction, nothing follows.
5. Once an error has ended the transaction, later ones prove nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..faults import Facts, Fault
from ..words import first_line
from .recover import Lost
from .verdict import Phase, Situation, Standing, Verdict, undone

TIMED_OUT = "clustersql: the time of the operation was over, so its connection was shut down"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left of an operation that ended in an error."""

    verdict: Verdict
    """Which error the caller gets: the driver's (`Verdict.PASS`), TransactionLost or OutcomeUnknown."""
    words: str
    """The text of that error, where it is ours."""
    notes: tuple[str, ...]
    """What is added to the driver's error."""
    facts: Facts | None
    """What is known of the transaction from now on; None: what was known before."""
    timed_out: bool
    """It was we who ended it, because its time was over: no other try can have any."""
    drop: bool
    """The session is closed."""
    fails: bool
    """A statement of the open transaction has failed: on PostgreSQL its COMMIT is a rollback then."""
    doubtful: bool
    """Nobody knows whether what the transaction has set holds."""
    ends: bool
    """The transaction has ended; the next statement begins another one."""
    counts: bool
    """The statement may have opened a transaction, or has failed it: somebody must roll back."""
    broken: bool
    """Every further statement raises this error, until the caller rolls back."""
    refused: bool
    """This error has ended the transaction: a function that swallows it must not have the rest committed."""
    undone: bool
    """It was the server that has ended it, and the session lives on."""


def aftermath(lost: Lost, held: bool, refused: bool, in_run: bool = False, open_: bool = False) -> Aftermath:
    """Return what follows from ``lost``.

    ``held``: there is a session at the end.  ``refused``: an earlier error has ended the transaction already.
    ``in_run``: ``run`` has called the function that executes this.  ``open_``: the driver knows that a transaction is
    open on the session.
    """
    s, passed = lost.situation, lost.verdict is Verdict.PASS
    at_commit = s.phase is Phase.COMMIT
    inside = s.phase is Phase.EXECUTE and s.transaction is not Standing.NONE
    over = s.facts.lost or s.facts.fault is Fault.ROLLED_BACK
    gone = s.facts.lost or not held
    by_server = undone(s) and passed and held
    left_open = at_commit and passed and open_ and not over
    return Aftermath(
        verdict=lost.verdict,
        words="" if passed else _words(lost),
        notes=tuple(note for note in (lost.note, TIMED_OUT if s.timed_out else "") if note),
        facts=s.facts if over or not refused else None,
        timed_out=s.timed_out,
        drop=s.facts.lost or (inside and not passed),
        fails=inside,
        doubtful=at_commit and lost.verdict is Verdict.UNKNOWN,
        ends=(at_commit and not left_open) or by_server,
        counts=inside and passed and not gone and not by_server,
        broken=inside and (gone or not passed or (by_server and in_run)),
        refused=not passed or (over and not at_commit),
        undone=by_server,
    )


def _words(lost: Lost) -> str:
    s, node = lost.situation, f"node {lost.node!r}"
    failed = f"the time of the operation on {node} was over" if s.timed_out else f"{node} failed"
    why = first_line(lost.error)
    if lost.words:
        return f"{failed} after {_what(s)} was sent; {lost.words} ({why})"
    if lost.verdict is Verdict.LOST:
        return f"{failed} before COMMIT was sent: nothing of the transaction has happened, run it again ({why})"
    return f"{failed} after {_what(s)} was sent: it may have happened or not ({why})"


def _what(s: Situation) -> str:
    return "COMMIT" if s.phase is Phase.COMMIT else "the statement"
