"""The client's own zone first, under whatever policy: its nodes are preferred as long as they can carry the load.

Rules
-----
1. They can as long as the quickest of them takes at most ``preference`` times what the quickest elsewhere takes.  Else
   work goes elsewhere, until the estimate of the own ones has faded so far (`core.policies.load.TAU`) that they are
   tried again.
2. Compared is what an answer takes, without the queue of this client: its own 10 threads would be reason enough to send
   9 of 10 statements away.  A zone that is overloaded shows it by its answers.
3. What elsewhere takes is what was usual there (`core.policies.load.Load.usual`), which does not fade: nodes that
   nobody asks would look the quicker the longer they are left alone.  So a share of `TRIED` goes there while that is
   old.
4. Which of the nodes of a zone serves is the policy's.  What it leaves out comes into question in no zone.
5. A connection to the own zone is opened in place of an idle one elsewhere, at the limit of the pool: else reads would
   stay where an outage has sent them.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import exp

from .load import TAU, Load
from .policy import L, Policy, Random

PREFERENCE = 2.0
"""Within a zone the network takes 0.1 to 0.5 ms, between zones about 1 ms more: what is nearer stays nearer, and what
is overloaded is left."""
TRIED = 0.005
"""The share of the statements that may leave the zone only to learn what answers take elsewhere."""
UNASKED = 0.05
"""The same for a node that nobody has asked yet: one answer is enough, and until it comes a slow zone is not left."""
FEW = 20
"""Answers from which on nobody has to try a node elsewhere, until that was long ago (`core.policies.cold.ENOUGH`)."""
DOUBT = 2.0
"""One answer alone proves little: the own zone must then be slower by `DOUBT` times more, by two answers by half of
that, and so on."""
FRESH = 0.001
"""Seconds for which it is remembered whether the own zone can carry the load, as who is near in `Nearest`."""


def can_carry(own: Sequence[Load], elsewhere: Sequence[Load], now: float, preference: float) -> bool:
    """Tell whether the nodes of the own zone can carry the load (rule 1).  A node of the own zone that nobody has asked
    yet can, and one elsewhere that nobody has asked yet is no reason to leave.
    """
    known = [_there(load) for load in elsewhere if load.samples]
    return not known or min(waits(load, now) for load in own) <= preference * min(known)


def _there(load: Load) -> float:
    """Return what an answer of a node elsewhere takes, in seconds; more where few have told."""
    return load.ewma if load.failed else load.usual * (1.0 + DOUBT / load.samples)


def waits(load: Load, now: float) -> float:
    """Return what an answer of a node of the own zone takes now, in seconds.

    A statement that goes on for long says nothing, as long as the node answers others.
    """
    if not load.samples and not load.failed:
        return 0.0
    owing, silent = load.owing, 0.0
    if owing is not None and owing.started > owing.ended:
        silent = now - max(owing.started, load.sampled_at)
    taken = load.ewma if load.failed else load.usual
    return max(taken * exp((load.sampled_at - now) / TAU), silent / 2)


def is_old(load: Load, now: float) -> bool:
    """Tell whether an estimate of a node elsewhere is to be made anew."""
    return (load.samples < FEW and not load.failed) or now - load.sampled_at > TAU


class Zoned(Policy):
    """``inner`` over the nodes of ``zone`` as long as these can carry the load, else over the others."""

    def __init__(self, inner: Policy, zone: str, preference: float = PREFERENCE, trial: str = "") -> None:
        """``trial``: the node that is dialled first, wherever it is: rule 3."""
        super().__init__()
        self.name = inner.name
        self.at_once = inner.at_once
        self.zone = zone
        self._inner = inner
        self._preference = preference
        self._trial = trial
        self._picked = ""
        self._of: Sequence[Load] = ()
        self._own: Sequence[Load] = ()
        self._elsewhere: Sequence[Load] = ()
        self._until = float("-inf")
        self._stays = True

    def first(self, loads: Sequence[L]) -> Sequence[L]:
        """Return what the policy says: what was configured to be the last stays the last in any zone."""
        return self._inner.first(loads)

    def turn(self) -> Policy:
        """Return the policy for one caller: what was picked to be tried is dialled, where no connection was idle."""
        picked, self._picked = self._picked, ""
        inner = self._inner.turn()
        if not picked and inner is self._inner:
            return self
        return Zoned(inner, self.zone, self._preference, picked)

    def rank(self, loads: Sequence[L], now: float, random: Random) -> list[L]:
        """Return what the policy returns, the zone that serves first."""
        self._split(loads, now)
        zone, stays, trial = self.zone, self._stays, self._trial
        ranked = self._inner.rank(loads, now, random)
        return sorted(ranked, key=lambda load: (load.name != trial, (load.zone == zone) is not stays))

    def pick(self, loads: Sequence[L], now: float, random: Random) -> L:
        """Return the policy's choice within the zone that serves."""
        if type(self._inner) is Policy:  # a function of the user's, which may leave nodes out
            return self.rank(loads, now, random)[0]
        if self._of is not loads or now >= self._until:
            self._split(loads, now)
        self._picked = ""
        own: Sequence[L] = self._own  # type: ignore[assignment]  # of these very loads
        elsewhere: Sequence[L] = self._elsewhere  # type: ignore[assignment]
        if not own or not elsewhere:
            return self._inner.pick(loads, now, random)
        if not self._stays:
            return self._inner.pick(elsewhere, now, random)
        chance = random()
        if chance < UNASKED and (old := [n for n in elsewhere if is_old(n, now) and (chance < TRIED or not n.samples)]):
            tried = old[int(random() * len(old))]
            self._picked = tried.name
            return tried
        return self._inner.pick(own, now, random)

    def is_worth_a_dial(self, best: Load, other: Load, now: float) -> bool:
        """Rule 5.  What is only to be tried elsewhere is worth none."""
        at_home, other_at_home = best.zone == self.zone, other.zone == self.zone
        if at_home is other_at_home:
            return self._inner.is_worth_a_dial(best, other, now)
        return at_home is can_carry([best if at_home else other], [other if at_home else best], now, self._preference)

    @property
    def words(self) -> str:
        """The policy, and the zone."""
        return f"{self._inner.words}, zone {self.zone} first,"

    def behind(self, load: Load, taken: Load, now: float) -> str:
        """Return why ``load`` was put behind ``taken``."""
        if load.zone != self.zone and taken.zone == self.zone:
            return f"zone: {load.zone or 'not known'}, and {self.zone} is preferred"
        if load.zone == self.zone and taken.zone != self.zone:
            there = f"{waits(load, now) * 1e3:.1f} ms there, {taken.usual * 1e3:.1f} ms on {taken.name}"
            return f"zone: {self.zone} cannot carry the load, or another zone is tried (answers take {there})"
        return self._inner.behind(load, taken, now)

    def _split(self, loads: Sequence[Load], now: float) -> None:
        if self._of is not loads:
            self._own = tuple(load for load in loads if load.zone == self.zone)
            self._elsewhere = tuple(load for load in loads if load.zone != self.zone)
        # A list may be changed by whoever made it.
        self._of = loads if isinstance(loads, tuple) else ()
        self._until = now + FRESH
        self._stays = not self._own or can_carry(self._own, self._elsewhere, now, self._preference)

    def __copy__(self) -> Zoned:
        return Zoned(copy(self._inner), self.zone, self._preference, self._trial)

    def __repr__(self) -> str:
        return f"<policy {self.name}, zone {self.zone}>"
