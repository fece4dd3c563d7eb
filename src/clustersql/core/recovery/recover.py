"""How the statement in hand is recovered from an error: a generator of `core.steps`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..faults import Facts, Fault
from ..steps import Acquire, Discard, Execute, Failed, Rollback, Steps, Tell
from ..view.observations import Refused, SessionLost
from ..words import first_line
from .verdict import Situation, Standing, Verdict, in_doubt, uncertain_end, undone, verdict

READ_ONCE = "clustersql: not sent again, its rows can be read once only; a list or a tuple is read again"


class Unrestorable(Exception):
    """A new session could not be given the settings of the lost one: which, and why."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The end of `recover` that is an error: everything about the last try, which is the one that decides
    what is left.
    """

    verdict: Verdict
    """What the caller is told."""
    error: BaseException
    """The driver's, of the last try."""
    situation: Situation
    """The one that this error left, not the one that the recovery began with."""
    node: str
    """The node that failed it."""
    note: str = ""
    """What else there is to say: why it was not tried again."""
    words: str = ""
    """The text of the error that the caller gets, where more is known than the verdict says."""


def recover(
    error: BaseException,
    situation: Situation,
    node: str,
    generation: int,
    retries: int,
    afford: Callable[[], bool],
    call: Any = None,
) -> Steps[Any | Lost]:
    """Recover ``call``, the statement in hand, from ``error``: tell the cluster, and run it again where the verdict
    allows it.

    ``retries`` is how often at most, ``afford`` takes one from the budget.  Returns the statement's result, or a
    `Lost`.  Once a try of a write may have happened, every end but success is `Verdict.UNKNOWN`, whatever the later
    tries or the search for a node say.
    """
    doubt = False
    while True:
        doubt = doubt or in_doubt(situation)
        blame = blamed(situation, node, generation, str(error))
        if blame is not None:
            yield Tell(blame)
        decision = verdict(situation)
        if decision is Verdict.DONE:
            yield Discard()
            return None
        if decision not in (Verdict.AGAIN, Verdict.ELSEWHERE):
            yield from _make_so(situation)
            return Lost(Verdict.UNKNOWN if doubt else decision, error, situation, node, _kept_from_it(situation))
        if why := _refused(retries, afford):
            yield from _make_so(situation)
            return Lost(Verdict.UNKNOWN if doubt else _unaffordable(situation), error, situation, node, why)
        retries -= 1
        failed = node
        same = decision is Verdict.AGAIN and (yield Rollback())
        if not same:
            yield Discard()
            try:
                node, generation = yield Acquire(avoid=node)
            except Unrestorable as exc:
                stuck = replace(situation, movable=False)
                why = f"clustersql: not moved, {first_line(exc)}"
                return Lost(Verdict.UNKNOWN if doubt else verdict(stuck), error, stuck, failed, why)
            except Exception as exc:
                if not doubt:
                    raise
                why = f"clustersql: not tried again, {first_line(exc)}"
                return Lost(Verdict.UNKNOWN, error, situation, failed, why)
        answer = yield Execute(call)
        if not isinstance(answer, Failed):
            return answer
        error, situation = answer.error, answer.situation


def _kept_from_it(situation: Situation) -> str:
    """Return the note of a statement that would have been sent again, had its rows been there still."""
    again = not situation.repeatable and verdict(replace(situation, repeatable=True))
    return READ_ONCE if again in (Verdict.AGAIN, Verdict.ELSEWHERE) else ""


def _make_so(situation: Situation) -> Steps[None]:
    """Roll back what the server says that it rolled back: then it is so, whatever has raised the code (a trigger may,
    by SIGNAL).

    What a COMMIT has failed to end likewise, where nobody tells whether the transaction is open still: a later COMMIT
    would commit it.
    """
    if (undone(situation) or uncertain_end(situation)) and not (yield Rollback()):
        yield Discard()


def _refused(retries: int, afford: Callable[[], bool]) -> str:
    """Return why it is not tried again; "": it is, and the try is paid for."""
    if retries <= 0:
        return "clustersql: tried as often as retry_limit allows"
    return "" if afford() else "clustersql: not tried again, the retry budget is spent (retry_ratio, retry_reserve)"


def _unaffordable(situation: Situation) -> Verdict:
    """The statement did not happen, or only read; in a transaction the caller must learn that all of it is gone."""
    gone = situation.facts.lost and situation.transaction is not Standing.NONE
    return Verdict.LOST if gone else Verdict.PASS


def blamed(situation: Situation, node: str, generation: int, why: str) -> SessionLost | Refused | None:
    """Return the news about the node that an error holds; None: it is no news."""
    facts: Facts = situation.facts
    if situation.timed_out or facts.fault is Fault.FOREIGN:
        return None
    if facts.fault is Fault.OVERLOADED and (
        not facts.lost or facts.not_sent
    ):  # a pooler's queue ends the connection too
        return Refused(node, generation, facts.fault, why)
    if facts.fault is Fault.NOT_READY or (facts.fault is Fault.READ_ONLY and not situation.read_only):
        return Refused(node, generation, facts.fault, why)
    if facts.lost and not facts.not_sent:
        return SessionLost(node, generation, why)
    return None
