"""The servers together: replication, promotion, crashes, and what of the journal they lose by themselves.

Synchronous replication acknowledges a commit when one of the other two nodes has it, and promotes only with a majority
in reach, whose longest journal wins: so nothing acknowledged is ever lost.  Asynchronous replication acknowledges at
once and promotes whom it likes; what only the old primary had is lost, and so it says (`Servers.lost`), also where that
was the place of a token that the commit guard had taken (`Servers.unfenced`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .flavours import Family
from .loop import Loop
from .servers import Entry, Node, ServerSession
from .tokens import VOID


@dataclass
class Trouble:
    """Chances per statement, or per message, of what goes wrong by itself; all 0.0 when the servers are left
    in peace.
    """

    deadlocks: float = 0.0
    duplicates: float = 0.0
    ambiguous: float = 0.0
    dropped: float = 0.0
    broken_into: float = 0.0


class Servers:
    """Three nodes that hold the same journal."""

    def __init__(
        self,
        loop: Loop,
        chance: random.Random,
        family: Family,
        synchronous: bool,
        durable: bool,
        told: Callable[[str], None],
    ) -> None:
        """``durable``: a crash loses nothing that was committed.  ``told`` is called with each event, in words.

        Set afterwards: with ``promotes_newest`` only who follows the newest primary is promoted, so that no history is
        thrown away in favour of an older one.  With ``tells_positions`` a standby that was killed goes back for a
        while, and a primary says where it was promoted; ``shows_history``: whoever asks may read where all were
        (``forks``: epochs, and the length of the journal at which each began).
        """
        self.loop = loop
        self.chance = chance
        self.family = family
        self.synchronous = synchronous
        self.durable = durable or synchronous
        self.trouble = Trouble()
        self.told = told
        self.promotes_newest = False
        self.tells_positions = False
        self.shows_history = False
        self.forks: list[tuple[int, int]] = []
        self.epoch = 1
        self.sessions = 0
        self.every: list[Entry] = []
        self.twice: list[str] = []
        self.lost: set[str] = set()
        self.fences: set[str] = set()
        self.unfenced: set[str] = set()
        self.cuts: set[frozenset[str]] = set()
        self.nodes = [Node(f"n{number}", self) for number in range(3)]
        self.leader = self.nodes[0]
        self.leader.primary, self.leader.epoch = True, 1
        for node in self.nodes[1:]:
            node.upstream, node.epoch = self.leader, 1

    def linked(self, one: str, other: str) -> bool:
        """Tell whether messages pass between two of the nodes, or a node and the client."""
        return not self.cuts or frozenset((one, other)) not in self.cuts

    # -- commits -------------------------------------------------------------------------------------------------------

    def commit(self, node: Node, session: ServerSession, entry: Entry, done: Callable[[], None]) -> None:
        """Append to the primary's journal; ``done`` when it may be acknowledged.  ``session`` waits for that."""
        there = {token for old in node.log for _, token in old.writes}
        self.twice += [token for _, token in entry.writes if token in there]
        node.log.append(entry)
        self.every.append(entry)
        if node is self.leader:  # an old primary's fence binds nobody, so nobody is excused by its loss
            self.fences.update(name for name, fate in entry.rows if fate == VOID)
        if self.chance.random() < 0.7:
            node.flushed = len(node.log)
        if self.synchronous:
            node.waiting.append((len(node.log), done, session))
            self._push_until_confirmed(node, node.epoch)
        else:
            self._push(node)
            done()

    def _push_until_confirmed(self, node: Node, epoch: int) -> None:
        if node.waiting and node.alive and node.primary and node.epoch == epoch:
            self._push(node)
            self.loop.at(0.2 + 0.1 * self.chance.random(), self._push_until_confirmed, node, epoch)

    def _push(self, node: Node) -> None:
        """Send each replica what it lacks.  Such messages get lost, and overtake each other."""
        for replica in self.nodes:
            if replica.upstream is node and self.chance.random() > self.trouble.dropped:
                self.loop.at(self._delay(node), self._send, node, replica)

    def _send(self, node: Node, replica: Node) -> None:
        if node.frozen or not node.alive or not self.linked(node.name, replica.name):
            return
        base, entries = len(replica.log), tuple(node.log[len(replica.log) :])
        self.loop.at(self._delay(replica), self._receive, node, replica, base, entries)

    def _receive(self, node: Node, replica: Node, base: int, entries: tuple[Entry, ...]) -> None:
        there = replica.upstream is node and replica.alive and not replica.frozen
        if not there or not self.linked(node.name, replica.name):
            return
        if replica.epoch < node.epoch:
            self._join(node, replica)
        elif len(replica.log) == base:
            replica.log.extend(entries)
        else:
            return
        replica.flushed = len(replica.log)
        self.loop.at(self._delay(node), self._confirm, node, node.epoch, replica.flushed)

    def _confirm(self, node: Node, epoch: int, length: int) -> None:
        if not node.alive or node.epoch != epoch or not node.primary:
            return
        node.confirmed = max(node.confirmed, length)
        ready = [done for index, done, _ in node.waiting if index <= length]
        node.waiting = [one for one in node.waiting if one[0] > length]
        for done in ready:
            node.when_running(done)

    def _delay(self, node: Node) -> float:
        return self.chance.random() * 0.02 * node.pace

    # -- roles ---------------------------------------------------------------------------------------------------------

    def promote(self) -> None:
        """Make another node the primary, if there is one that may be; the old one learns of it only if it is
        in reach.
        """
        reachable = [node for node in self.nodes if node.alive and not node.frozen and not node.starting]
        voters = self._voters(reachable)
        old = self.leader
        others = [node for node in voters if node is not old]
        if self.promotes_newest:
            others = [node for node in others if node.epoch == self.epoch]
        if not others:
            return
        new = self.chance.choice(others)
        for node in voters:  # also one that was cut off when another took its place
            if node.primary:
                self.demote(node)
        if self.synchronous:
            self._catch_up(new, max(voters, key=lambda node: (node.epoch, len(node.log))))
        self.epoch += 1
        new.primary, new.epoch, new.upstream, self.leader = True, self.epoch, None, new
        new.confirmed = len(new.log)
        if self.tells_positions:
            new.forked_at = len(new.log)
            self.forks.append((self.epoch, len(new.log)))
        self.told(f"{new.name} is promoted, epoch {self.epoch}, {len(new.log)} entries")
        for node in others:
            self.follow(node)
        if old in voters:
            self.follow(old)

    def _voters(self, reachable: list[Node]) -> list[Node]:
        """Return nodes that see each other: with synchronous replication at least two of the three, else any."""
        groups = [[n for n in reachable if n is node or self.linked(node.name, n.name)] for node in reachable]
        if self.synchronous:
            groups = [group for group in groups if len(group) >= 2]
        return self.chance.choice(groups) if groups else []

    def _catch_up(self, node: Node, best: Node) -> None:
        """Before it is promoted a node gets the longest journal of the newest epoch in reach."""
        if node is not best:
            self._copy(best, node)

    def demote(self, node: Node) -> None:
        """Make a primary a replica of nobody yet; its sessions stay, or are ended, as the family does.  A server that
        tells positions was started anew for that: PostgreSQL knows no other way.
        """
        node.primary = False
        node.starts += self.tells_positions
        self.told(f"{node.name} is demoted")
        in_doubt = [session for _, _, session in node.waiting]
        node.waiting.clear()
        self.end_sessions(node, in_doubt if self.family.keeps_sessions else node.sessions)

    def follow(self, node: Node) -> None:
        """Make a node a replica of the leader: what it has and the leader has not is thrown away."""
        if node is not self.leader:
            node.upstream = self.leader
            self._join(self.leader, node)

    def _join(self, node: Node, replica: Node) -> None:
        """Make a replica that slept through promotions one of its primary's present epoch, as a standby follows a
        timeline.

        Without it such a replica confirms commits under the epoch that it last knew, and the next promotion takes its
        journal for an old one.
        """
        self._copy(node, replica)
        replica.epoch = node.epoch

    def _copy(self, source: Node, node: Node) -> None:
        common = 0
        while common < min(len(node.log), len(source.log)) and node.log[common] is source.log[common]:
            common += 1
        if len(node.log) > common:
            if self.tells_positions:  # PostgreSQL goes back with its server stopped (pg_rewind)
                node.starts += 1
                self.end_sessions(node, node.sessions)
            self._lose(node, common)
        node.log.extend(source.log[common:])
        node.flushed = len(node.log)

    def _lose(self, node: Node, length: int) -> None:
        gone = [token for entry in node.log[length:] for _, token in entry.writes]
        if not self.synchronous:
            gone_rows = (row for entry in node.log[length:] for row in entry.rows)
            self.unfenced.update(name for name, fate in gone_rows if fate == VOID and name in self.fences)
        del node.log[length:]
        node.flushed = min(node.flushed, length)
        self.lost.update(gone)
        self.told(f"{node.name} throws away {' '.join(gone) or 'nothing'}")

    # -- crashes -------------------------------------------------------------------------------------------------------

    def crash(self, node: Node) -> None:
        """Kill a node: its sessions are cut, its open transactions are gone, and without durability the end of its
        journal.
        """
        self.told(f"{node.name} crashes")
        node.alive = node.frozen = node.starting = False
        node.held.clear()
        node.waiting.clear()
        self.end_sessions(node, node.sessions)
        if not self.durable:
            self._lose(node, max(node.flushed, len(node.log) - 3))

    def start(self, node: Node) -> None:
        """Start a node that had crashed: as the primary that it was, if nobody took its place, else as a diverged
        replica.
        """
        if node.alive:
            return
        node.alive = node.starting = True
        node.starts += 1
        if self.tells_positions:
            self._go_back(node)
        self.told(f"{node.name} starts")
        if node is self.leader:
            node.confirmed = len(node.log)
            for other in self.nodes:
                if other.upstream is node:
                    self.follow(other)
        else:
            node.primary, node.upstream = False, None
        self.loop.at(0.1 + 0.4 * self.chance.random(), self._started, node)

    def _go_back(self, node: Node) -> None:
        """A server that was killed tells no switch, or a wrong one; a standby of that kind replays its journal again,
        and can be read meanwhile.  Drawn apart, so that all else stays what it is.
        """
        chance = random.Random(f"{node.name} {node.starts} {len(self.every)}")
        node.forked_at = chance.choice([None, len(node.log) + 5])
        node.rewound = int(len(node.log) * chance.random()), self.loop.now + 0.5 + chance.random() * 2.0

    @staticmethod
    def _started(node: Node) -> None:
        node.starting = False

    def thaw(self, node: Node) -> None:
        """Let a frozen node go on with all that has arrived meanwhile."""
        node.frozen = False
        held, node.held = node.held, []
        if held:
            self.told(f"{node.name} goes on, with {len(held)} messages")
        for action in held:
            node.when_running(action)

    @staticmethod
    def end_sessions(node: Node, sessions: list[ServerSession]) -> None:
        """Cut sessions of a node."""
        for session in tuple(sessions):
            node.end(session)
            session.cut()

    def peace(self) -> None:
        """End all trouble: everything runs, everything is linked, everybody follows the leader."""
        self.trouble = Trouble()
        self.cuts.clear()
        for node in self.nodes:
            node.full, node.pace, node.rewound = False, 1.0, (0, 0.0)
            self.thaw(node)
            self.start(node)
        for node in self.nodes:
            if node is not self.leader and node.primary:
                self.demote(node)
            self.follow(node)
        if self.leader.waiting:
            self._push_until_confirmed(self.leader, self.leader.epoch)


def new_session(node: Node, cut: Callable[[], None]) -> ServerSession:
    """Let a client in."""
    node.servers.sessions += 1
    session = ServerSession(cut, node.servers.sessions)
    node.sessions.append(session)
    return session
