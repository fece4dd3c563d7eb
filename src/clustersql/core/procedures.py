"""The procedures that mix decisions with I/O, as generators of `core.steps`: open, recover, probe, fill, drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .faults import Facts, Fault
from .observe import Answered, Refused, SessionLost, Unreachable
from .steps import (
    Acquire,
    Ask,
    Await,
    Changed,
    Close,
    Dial,
    DialFailed,
    Discard,
    Execute,
    Failed,
    Look,
    Picture,
    Rollback,
    Served,
    Steps,
    Tell,
)
from .verdict import Situation, Standing, Verdict, in_doubt, undone, verdict


@dataclass(frozen=True, slots=True)
class GaveUp:
    """`open_` found no connection: every node's own error, the latest last; the nodes that have not answered; whether one could serve."""

    errors: dict[str, BaseException]
    silent: tuple[str, ...]
    plan: tuple[str, ...]


def open_(deadline: float, stagger: float) -> Steps[Any | GaveUp]:
    """Get a connection: dial the best node, the next after ``stagger`` seconds without an answer or at once on an error.

    The first to finish wins; what finishes later is the performer's to keep or close.  With no node to dial it waits until the view
    changes.  Gives up at ``deadline`` (monotonic seconds), or at once when only a person could help.
    """
    errors: dict[str, BaseException] = {}
    tried: set[str] = set()
    pending: set[str | None] = set()
    latest = float("-inf")
    while True:
        picture: Picture = yield Look()
        if picture.now >= deadline or (picture.hopeless and not pending):
            return GaveUp(errors, tuple(name for name in pending if name), picture.plan)
        left = [node for node in picture.plan if node not in tried]
        if left and (not pending or picture.now - latest >= stagger):
            begun: bool | None = yield Dial(left[0])
            tried.add(left[0])
            latest = picture.now
            if begun:
                pending.add(left[0])
            if begun and stagger <= 0.0:
                continue
            left = [] if begun is None else left[1:]  # the pool is full: the others would be asked for nothing
        event = yield Await(_patience(deadline - picture.now, latest + stagger - picture.now, bool(left)))
        match event:
            case Served(session):
                return session
            case DialFailed(node, error):
                pending.discard(node)
                errors.pop(node, None)  # re-inserted, so that the latest error stays last
                errors[node] = error
                latest = float("-inf")  # an error is no reason to wait for the stagger
                tried &= pending | errors.keys()  # what there was no room for is asked again
            case Changed(node):
                pending.discard(node)
                tried &= pending


def _patience(until_deadline: float, until_next: float, more: bool) -> float:
    return max(0.0, min(until_deadline, until_next) if more else until_deadline)


READ_ONCE = "clustersql: not sent again, its rows can be read once only; a list or a tuple is read again"


class Unrestorable(Exception):
    """A new session could not be given the settings of the lost one: which, and why."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The end of `recover` that is an error: everything about the last try, which is the one that decides what is left."""

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


def recover(
    error: BaseException,
    situation: Situation,
    node: str,
    generation: int,
    retries: int,
    afford: Callable[[], bool],
    call: Any = None,
) -> Steps[Any | Lost]:
    """Recover ``call``, the statement in hand, from ``error``: tell the cluster, and run it again where the verdict allows it.

    ``retries`` is how often at most, ``afford`` takes one from the budget.  Returns the statement's result, or a `Lost`.  Once a try of
    a write may have happened, every end but success is `Verdict.UNKNOWN`, whatever the later tries or the search for a node say.
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
    """Roll back what the server says that it rolled back: then it is so, whatever has raised the code (a trigger may, by SIGNAL)."""
    if undone(situation) and not (yield Rollback()):
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


def probe(node: str, facts: Callable[[BaseException], Facts], dialled: bool = True, peer: str = "") -> Steps[None]:
    """Ask ``node`` for its role and readiness, and tell the cluster what it said, or that it did not.

    ``dialled`` False: it is asked on a connection that was open already.  ``peer``: the address at its other end.
    """
    try:
        report = yield Ask(node)
    except Exception as exc:
        yield Tell(Unreachable(node, facts(exc).fault, first_line(exc)))
    else:
        yield Tell(Answered(node, report, dialled, peer))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none; and that of the error which the driver made it of.

    aiomysql says "Can't connect to MySQL server on 'db1'" of everything, a certificate that is refused and a name that is unknown.
    """
    return _with_cause(error, lambda text: text.splitlines()[0])


def in_one_line(error: BaseException) -> str:
    """Return an error's whole text in one line, otherwise as `first_line`."""
    return _with_cause(error, lambda text: " ".join(text.split()))


def _with_cause(error: BaseException, shortened: Callable[[str], str]) -> str:
    text, cause = (
        "" if each is None else shortened(str(each).strip() or type(each).__name__) for each in (error, error.__cause__)
    )
    return text if cause in text else f"{text} ({cause})"


def fill(idle: int, min_idle: int, room: int) -> Steps[int]:
    """Dial until ``min_idle`` connections are idle, or there is no ``room`` left.  Returns how many dials were begun.

    With nothing to do it does not even look: looking while no node serves wakes the monitor, which is who calls this, without an end.
    """
    begun, wanted = 0, min(min_idle - idle, room)
    if wanted <= 0:
        return 0
    picture: Picture = yield Look()
    for _ in range(wanted):
        if not picture.plan or not (yield Dial(picture.plan[0])):
            break
        begun += 1
    return begun


def drain(sessions: Sequence[Any]) -> Steps[None]:
    """Close idle connections that get no new work: their node is drained, demoted or down, or they are too old; those in use end by themselves."""
    for session in sessions:
        yield Close(session)
