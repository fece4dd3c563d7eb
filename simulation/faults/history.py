"""What the clients were told, and whether it was true: the guarantee of the design as a check of a history against the
servers' journals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .replication import Servers

OK, FAILED, UNKNOWN, OPEN = "ok", "failed", "unknown", "open"


@dataclass
class History:
    """Everything that happened in one run, in words, and what is claimed of each token."""

    clock: Callable[[], float]
    """Tells the time of the run, in seconds."""
    lines: list[str] = field(default_factory=list)
    """What happened, each with its time."""
    claims: dict[str, str] = field(default_factory=dict)
    """What a client was told of each token: ok, failed, unknown."""
    groups: list[tuple[str, ...]] = field(default_factory=list)
    """The tokens that one COMMIT was asked to make true together."""
    harmless: set[str] = field(default_factory=set)
    """The tokens that may be written twice."""
    unseen: list[tuple[str, str]] = field(default_factory=list)
    """Who has read without which token that he must have seen."""
    again: list[tuple[str, str]] = field(default_factory=list)
    """The same of a token that he had seen before."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong, found on the way or at the end."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How often an operation has ended in which way."""
    guarded: bool = False
    """Whether the commit guard is on.  It says of a COMMIT what holds in the newest history: what it has ended may be in
    a journal that was thrown away.
    """
    void: set[str] = field(default_factory=set)
    """The tokens of whose COMMIT the guard has said that it never will happen."""

    def note(self, who: str, text: str) -> None:
        """Write a line."""
        self.lines.append(f"{self.clock():9.3f} {who:<8} {text}")

    def violated(self, text: str) -> None:
        """Something is wrong."""
        self.wrong.append(text)
        self.note("!!", text)


def check(history: History, servers: Servers) -> None:
    """Compare what was reported with what happened, after everything has come to rest."""
    happened = Counter(token for entry in servers.every for _, token in entry.writes)
    kept = {token for entry in servers.leader.log for _, token in entry.writes}
    excused = _unfenced(servers)
    asked = {token for group in history.groups for token in group} if history.guarded else set()
    for token, claim in history.claims.items():
        lost = token in asked and token in servers.lost and token not in kept
        if claim == FAILED and happened[token] and not lost and token not in excused:
            history.violated(f"{token} was reported failed, but it happened")
        if claim == OK and not happened[token]:
            history.violated(f"{token} was reported committed, but it never happened")
        elif claim == OK and token not in kept and (servers.synchronous or token not in servers.lost):
            history.violated(f"{token} was reported committed, but it is missing")
        if claim == OPEN:
            history.violated(f"{token} was never reported")
    for token in _twice(history, servers):
        if token not in history.harmless and token not in excused:
            history.violated(f"{token} happened twice")
    for token in sorted(history.void & kept - excused):
        history.violated(f"{token} was settled as void, but it happened")
    _check_together(history, servers)
    _check_seen(history, servers)


def _twice(history: History, servers: Servers) -> list[str]:
    """Return the tokens that are twice in one journal; with the guard, in the one that counts.

    An old primary that is cut off holds back two attempts, neither acknowledged: the new primary has made the first one
    void, and both are thrown away.
    """
    if not history.guarded:
        return servers.twice
    counted = Counter(token for entry in servers.leader.log for _, token in entry.writes)
    return [token for token, times in counted.items() if times > 1]


def _unfenced(servers: Servers) -> set[str]:
    """Return the tokens of the programs for which the servers have forgotten that their COMMIT was made void: nobody
    can be held to that.
    """
    entries = [entry for entry in servers.every if any(name in servers.unfenced for name, _ in entry.rows)]
    return {token for entry in entries for _, token in entry.writes}


def _check_together(history: History, servers: Servers) -> None:
    """With the guard an earlier attempt may stand in a journal that was thrown away, with other tokens than the one
    that counts.
    """
    entries = servers.leader.log if history.guarded else servers.every
    for group in history.groups:
        for entry in entries:
            together = {token for _, token in entry.writes} & set(group)
            if together and together != set(group):
                history.violated(f"of {' '.join(group)} only {' '.join(sorted(together))} happened in one transaction")


def _check_seen(history: History, servers: Servers) -> None:
    """A bookmark's promise: what was written through a view is seen by its reads, though a failover has lost it.

    Where a crash loses the end of a journal, nobody can tell: its positions are given twice.  What was only read, and
    lost since, may be missing; and a synchronous standby shows a commit before its primary does.
    """
    for who, token in history.unseen:
        if servers.durable or token not in servers.lost:
            history.violated(f"{who} reads without {token}, which was written through its view")
    for who, token in history.again:
        if not servers.synchronous and token not in servers.lost:
            history.violated(f"{who} reads without {token}, which its view had shown")
