"""How a COMMIT in doubt is settled: a generator of `core.steps`, performed by both APIs.

The question is an upsert of the token (the *fence*): it waits for the old transaction while that lives, finds the token
if it has committed, and takes the token's place for ever if it has not.  A SELECT could only tell what is visible now:
the COMMIT may still be on its way.

Rules
-----
1. It is asked of whichever node may write now, on a connection of its own.  Lost or rolled back, it is put again: it
   has no other effect.
2. It writes, so that its own COMMIT waits for the synchronous standby as the old one's did: "committed" means
   replicated.  Its answer counts only after that COMMIT: what a transaction has read before may be undone (Galera's
   certification).
3. Blocked, the old session lives.  It is ended only where it waits for its client in vain (idle in a transaction), and
   only on the very server that it was opened to: elsewhere the same number is a stranger's.
4. The time over, the outcome is unknown.  Nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..faults import Facts, Fault
from ..steps import Acquire, Discard, Failed, Look, Pause, Script, Steps
from ..view.node import Epoch
from .fate import FINAL, Event, Stage, after

__all__ = ["PAUSE", "PAUSE_CAP", "Answer", "Birth", "Fence", "Settled", "event_of", "resolve"]

PAUSE = 0.01
"""Seconds before a question is put again; each time twice as long."""
PAUSE_CAP = 0.5
"""Seconds between two questions at most."""

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Birth:
    """Which session of which server: no other has the same, however often its number is used again."""

    server: str
    """Names the server's process; "": `since` alone does."""
    since: float
    """When the session (PostgreSQL) or the server (MySQL, MariaDB) began, by the server's clock."""
    number: int | None = None
    """The server's number of the session."""
    clock: float = field(default=0.0, compare=False)
    """What the server's clock said when it was asked: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fence has told."""

    committed: bool
    """The token was there; False: the fence has taken its place."""
    epoch: Epoch | None = None
    """The history of the server that answered; None: it tells none."""
    unfit: str = ""
    """What is wrong with the form of the table, so that it proves nothing; "": nothing is."""


@dataclass(frozen=True, slots=True)
class Fence:
    """What is asked, in the database's words, and how its answers are read."""

    statements: tuple[str, ...]
    """The upsert of the token in a transaction of its own."""
    answer: Callable[[Sequence[Rows]], Answer]
    """Reads the rows of each."""
    blocked: frozenset[str | int]
    """Codes that say that it has waited for somebody's transaction, and was undone."""
    missing: frozenset[str | int] = frozenset()
    """Codes that say that the table is not there, or not ours to write: no further question helps."""
    identify: tuple[str, ...] = ()
    """Asks a session for its birth."""
    born: Callable[[Sequence[Rows]], Birth] = lambda answers: Birth("", 0.0)
    """Reads the rows of each."""
    end: Callable[[Birth, Birth], tuple[str, ...]] = lambda old, here: ()
    """The statements that end the session of the first birth where it waits for its client in vain, for a session of
    the second one; none where the two are not of one server."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the COMMIT."""

    stage: Stage
    """Committed, void or unknown; fresh: it was not asked, and why."""
    why: str = ""
    """What kept it from being settled, in words."""


def event_of(answer: Sequence[Rows] | Failed, fence: Fence, newest: Epoch | None) -> Event:
    """Return what an answer to the fence means.  ``newest``: the newest history that is known."""
    if isinstance(answer, Failed):
        facts: Facts = answer.situation
        code = facts.sqlstate if facts.sqlstate in fence.blocked else facts.errno
        return Event.BLOCKED if code in fence.blocked and not facts.lost else Event.CONFLICT
    told = fence.answer(answer)
    if _is_older(told.epoch, newest):
        return Event.OLD_HISTORY
    if told.unfit:
        return Event.UNFIT
    return Event.FOUND if told.committed else Event.TAKEN


def _is_older(told: Epoch | None, newest: Epoch | None) -> bool:
    if told is None or newest is None or newest.shared:
        return False
    return told.lineage != newest.lineage or 0 < told.number < newest.number


def resolve(
    fence: Fence,
    old: Birth | None,
    newest: Callable[[], Epoch | None],
    admits: Callable[[float], str] | None,
    deadline: float,
) -> Steps[Settled]:
    """Settle a COMMIT in doubt until ``deadline`` (monotonic seconds).

    ``old``: the session that it was sent on, where that is known.  ``newest``: the newest history that is known by
    then.  ``admits`` says in words why it must not be asked at all, by the server's clock; "": it may; None: it was
    sent just now.
    """
    stage, held, pause, why = Stage.IN_DOUBT, False, PAUSE, ""
    while True:
        picture = yield Look()
        if picture.now >= deadline:
            return Settled(after(stage, Event.LATE), why or "the time of the operation was over")
        if not held:
            opened = yield Acquire(None)
            if isinstance(opened, Failed):
                before = f"{why}; then " if why else ""
                return Settled(after(stage, Event.LATE), f"{before}no primary could be asked ({opened.error})")
            held = True
        if admits is not None:
            told = yield Script(fence.identify)
            if isinstance(told, Failed):
                held = yield from _let_go(told)
                yield Pause(pause)
                continue
            if refused := admits(fence.born(told).clock):
                return Settled(Stage.FRESH, refused)
            admits = None
        stage = after(stage, Event.ASKED)
        answer = yield Script(fence.statements)
        event = event_of(answer, fence, newest())
        stage = after(stage, event)
        if stage in FINAL and stage is not Stage.UNKNOWN:
            return Settled(stage)
        missing = _is_missing(answer, fence)
        if event is not Event.CONFLICT or missing or not why:  # a question that is lost says less than the one before
            why = _words(event, answer, fence)
        if stage is Stage.UNKNOWN:
            return Settled(stage, why)
        if event is Event.BLOCKED:
            held = yield from _unblock(fence, old)
        elif missing:
            return Settled(after(stage, Event.LATE), why)
        else:
            held = yield from _let_go(answer)
        if not held or event is Event.CONFLICT:
            yield Pause(pause)
            pause = min(2 * pause, PAUSE_CAP)


def _unblock(fence: Fence, old: Birth | None) -> Steps[bool]:
    """End what the fence waits for, if that is the old session, idle in its transaction.  Returns whether our own
    session can be used on.
    """
    if isinstance((yield Script(("ROLLBACK",))), Failed):
        yield Discard()
        return False
    if old is None or not fence.identify:
        return True
    told = yield Script(fence.identify)
    if not isinstance(told, Failed) and (statements := fence.end(old, fence.born(told))):
        told = yield Script(statements)
    if isinstance(told, Failed) and told.situation.lost:
        yield Discard()
        return False
    return True


def _let_go(answer: Any) -> Steps[bool]:
    """Roll back, or leave a server that is not the right one any more.  Returns whether our own session can
    be used on.
    """
    undone = isinstance(answer, Failed) and answer.situation.fault is Fault.ROLLED_BACK and not answer.situation.lost
    if undone and not isinstance((yield Script(("ROLLBACK",))), Failed):
        return True
    yield Discard()
    return False


def _is_missing(answer: Any, fence: Fence) -> bool:
    facts = answer.situation if isinstance(answer, Failed) else None
    return facts is not None and (facts.sqlstate in fence.missing or facts.errno in fence.missing)


def _words(event: Event, answer: Any, fence: Fence) -> str:
    detail = answer.error if isinstance(answer, Failed) else fence.answer(answer).unfit
    return f"{event.value}: {detail}" if detail else event.value
