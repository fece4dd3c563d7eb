"""How a connection is got, and how idle ones are kept ready: generators of `core.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..steps import Await, Changed, Dial, DialFailed, Look, Picture, Served, Steps

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.25
"""Seconds before an address is dialled again that has led to a server without the role; the pause is doubled each time.
At most 250 ms, or the write after a promotion would miss its bar (300 ms)."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    """`open_` found no connection."""

    errors: dict[str, BaseException]
    """Every node's own error, the latest last."""
    silent: tuple[str, ...]
    """The nodes that have not answered."""
    plan: tuple[str, ...]
    """The nodes that could serve."""


def open_(deadline: float, stagger: float) -> Steps[Any | GaveUp]:
    """Get a connection: dial the best node, the next after ``stagger`` seconds without an answer or at once on an
    error.

    Where an address leads to several servers, it is dialled again after a pause that grows: the next dial may reach the
    right one.  The first to finish wins; what finishes later is the performer's to keep or close.  With no node to dial
    it waits until the view changes.  Gives up at ``deadline`` (monotonic seconds), or at once when only a person could
    help.
    """
    errors: dict[str, BaseException] = {}
    tried: set[str] = set()
    resting: dict[str, float] = {}
    pause = 0.0
    pending: set[str | None] = set()
    latest = float("-inf")
    while True:
        picture: Picture = yield Look()
        if picture.now >= deadline or (picture.hopeless and not pending):
            return GaveUp(errors, tuple(name for name in pending if name), picture.plan)
        for node in [node for node, until in resting.items() if until <= picture.now]:
            del resting[node]
            tried.discard(node)
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
        wake_at = min([deadline, *resting.values()])
        event = yield Await(_patience(wake_at - picture.now, latest + stagger - picture.now, bool(left)))
        match event:
            case Served(session):
                return session
            case DialFailed(failed, error, elsewhere):
                if elsewhere:
                    pause = min(max(FIRST_PAUSE, 2.0 * pause), LONGEST_PAUSE)
                    resting[failed] = picture.now + pause
                pending.discard(failed)
                errors.pop(failed, None)  # re-inserted, so that the latest error stays last
                errors[failed] = error
                latest = float("-inf")  # an error is no reason to wait for the stagger
                tried &= pending | errors.keys()  # what there was no room for is asked again
            case Changed(served):
                pending.discard(served)
                tried &= pending


def _patience(until_deadline: float, until_next: float, more: bool) -> float:
    return max(0.0, min(until_deadline, until_next) if more else until_deadline)


def fill(idle: int, min_idle: int, room: int) -> Steps[int]:
    """Dial until ``min_idle`` connections are idle, or there is no ``room`` left.  Returns how many dials were begun.

    With nothing to do it does not even look: looking while no node serves wakes the monitor, which is who calls this,
    without an end.
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
