"""The states of one guarded COMMIT, and what leads from one to the next.

    fresh -> sent -> acknowledged
               |-> in doubt -> asked <-> held
                                 |-> committed | void | unknown

Rules
-----
1. Nobody asks before the answer is lost: what is asked for is settled by that, once and for all.
2. Held: the question waits, so the old transaction lives still, and may commit yet.  Nothing follows from that but to
   ask again.
3. An answer counts only from a server of the newest history.  One of an older history tells what was, not what is.
4. A table of another form tells nothing: one that a crash empties would make "void" of what has committed, one whose
   tokens are no key would let both be true.
5. Committed and void are for ever; unknown is what there is to say when the time is over, and the same id may be
   settled later.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

__all__ = ["FINAL", "Event", "Stage", "after"]


class Stage(Enum):
    """Where a guarded COMMIT stands."""

    FRESH = "fresh"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    IN_DOUBT = "in doubt"
    ASKED = "asked"
    HELD = "held"
    COMMITTED = "committed"
    VOID = "void"
    UNKNOWN = "unknown"


class Event(Enum):
    """What happens to it."""

    SENT = "the COMMIT is sent, and the token with it or before it"
    ANSWERED = "the server acknowledges it"
    SILENT = "its answer is lost, or proves nothing"
    ASKED = "a primary is asked"
    BLOCKED = "the question waits for the old transaction"
    CONFLICT = "the question was lost, or rolled back"
    OLD_HISTORY = "the answer came from an older history"
    FOUND = "the token was there"
    TAKEN = "the token's place was taken by the question"
    UNFIT = "the table of the tokens has another form, and cannot tell"
    LATE = "the time is over"


FINAL = frozenset({Stage.ACKNOWLEDGED, Stage.COMMITTED, Stage.VOID, Stage.UNKNOWN})
"""Nothing follows."""

_ASKED: Mapping[Event, Stage] = {
    Event.BLOCKED: Stage.HELD,
    Event.CONFLICT: Stage.IN_DOUBT,
    Event.OLD_HISTORY: Stage.IN_DOUBT,
    Event.FOUND: Stage.COMMITTED,
    Event.TAKEN: Stage.VOID,
    Event.UNFIT: Stage.UNKNOWN,
    Event.LATE: Stage.UNKNOWN,
}

_NEXT: Mapping[Stage, Mapping[Event, Stage]] = {
    Stage.FRESH: {Event.SENT: Stage.SENT},
    Stage.SENT: {Event.ANSWERED: Stage.ACKNOWLEDGED, Event.SILENT: Stage.IN_DOUBT},
    Stage.IN_DOUBT: {Event.ASKED: Stage.ASKED, Event.LATE: Stage.UNKNOWN},
    Stage.ASKED: _ASKED,
    Stage.HELD: {Event.ASKED: Stage.ASKED, Event.CONFLICT: Stage.IN_DOUBT, Event.LATE: Stage.UNKNOWN},
}


def after(stage: Stage, event: Event) -> Stage:
    """Return where a guarded COMMIT stands after ``event``.  Raises ValueError for what cannot happen there.

    >>> after(Stage.ASKED, Event.FOUND)
    <Stage.COMMITTED: 'committed'>
    """
    found = _NEXT.get(stage, {}).get(event)
    if found is None:
        raise ValueError(f"{event.value}: not where a COMMIT is {stage.value}")
    return found
