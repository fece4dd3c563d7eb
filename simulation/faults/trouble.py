"""What goes wrong: crashes, frozen nodes, partitions, promotions, resets, slow clocks, and a client that was stopped
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .driver import Simulated
from .network import CLIENT
from .replication import Servers, Trouble

LASTS = 3.0
"""Seconds of trouble; then there is peace."""


class Storm:
    """Random faults for `LASTS` seconds, each of which ends by itself after a while or is left to `Servers.peace`."""

    def __init__(self, servers: Servers, driver: Simulated) -> None:
        self.servers = servers
        self.driver = driver
        self.chance = servers.chance
        self.over = False

    def begin(self, more: tuple[Callable[[Storm], None], ...] = ()) -> None:
        """Choose what goes wrong and when.  ``more`` does so too, at once."""
        chance, servers = self.chance, self.servers
        servers.loop.busy += 1
        some = [0.0, 0.0, 0.02, 0.1]
        servers.trouble = Trouble(
            chance.choice(some),
            chance.choice(some),
            chance.choice(some),
            chance.choice([0.0, 0.0, 0.01, 0.05]),
            chance.choice([0.0, 0.0, 0.02, 0.1]),
        )
        for _ in range(chance.randint(0, 7)):
            self._later(chance.random() * LASTS, chance.choice(FAULTS))
        for fault in more:
            self._later(chance.random() * 0.2, fault)
        servers.loop.at(LASTS, self._end)

    def _end(self) -> None:
        self.over = True
        self.servers.loop.busy -= 1
        self.servers.told("peace")
        self.servers.peace()

    def _later(self, seconds: float, fault: Callable[[Storm], None]) -> None:
        self.servers.loop.at(seconds, lambda: None if self.over else fault(self))

    def crash(self) -> None:
        """A node is killed; it comes back, or another takes its place, or both."""
        node = self.chance.choice(self.servers.nodes)
        if not node.alive:
            return
        self.servers.crash(node)
        self._later(self.chance.random() * 3.0, lambda _: self.servers.start(node))
        if self.chance.random() < 0.6:
            self._later(self.chance.random() * 1.0, Storm.promote)
        self._later(self.chance.random() * 4.0, Storm.settle)

    def restart_standbys(self) -> None:
        """Let standbys be killed and started at once, now and then: nobody may have seen them go."""
        for _ in range(self.chance.randint(0, 4)):
            self._later(self.chance.random() * LASTS, Storm._restart)

    def _restart(self) -> None:
        node = self.chance.choice(self.servers.nodes)
        if node.alive and node is not self.servers.leader:
            self.servers.crash(node)
            self._later(self.chance.random() * 0.2, lambda _: self.servers.start(node))
            self._later(0.2 + self.chance.random() * 2.0, Storm.settle)

    def freeze(self) -> None:
        """A node is stopped, and goes on later with all that has arrived."""
        node = self.chance.choice(self.servers.nodes)
        if node.alive and not node.frozen:
            node.frozen = True
            self.servers.told(f"{node.name} is frozen")
            self._later(self.chance.random() * 2.0, lambda _: self.servers.thaw(node))
            if self.chance.random() < 0.5:
                self._later(self.chance.random() * 1.5, Storm.promote)

    def partition(self) -> None:
        """A link is cut: between two nodes, or between the client and one."""
        node = self.chance.choice(self.servers.nodes)
        other = self.chance.choice([CLIENT, *(n.name for n in self.servers.nodes if n is not node)])
        cut = frozenset((node.name, other))
        self.servers.cuts.add(cut)
        self.servers.told(f"{node.name} and {other} are cut off from each other")
        self._later(self.chance.random() * 2.0, partial(Storm._mend, cut=cut))

    def _mend(self, cut: frozenset[str]) -> None:
        self.servers.cuts.discard(cut)
        self.servers.told(f"{' and '.join(sorted(cut))} are linked again")
        self._later(self.chance.random() * 0.5, Storm.settle)

    def isolate(self) -> None:
        """The primary is cut off from the other nodes but not from the client, and another is promoted: two
        primaries.
        """
        leader = self.servers.leader
        cuts = [frozenset((leader.name, node.name)) for node in self.servers.nodes if node is not leader]
        self.servers.cuts.update(cuts)
        self.servers.told(f"{leader.name} is cut off from the other nodes")
        self._later(self.chance.random() * 0.3, Storm.promote)
        for cut in cuts:
            self._later(0.5 + self.chance.random() * 2.0, partial(Storm._mend, cut=cut))

    def promote(self) -> None:
        """The cluster chooses another primary."""
        self.servers.promote()

    def settle(self) -> None:
        """Whoever sees the leader and is not its replica becomes one: an old primary is demoted, what it alone has is
        thrown away.
        """
        servers, leader = self.servers, self.servers.leader
        for node in servers.nodes:
            sees = servers.linked(node.name, leader.name) and node.alive and not node.frozen and leader.alive
            if node is not leader and node.upstream is not leader and sees:
                if node.primary:
                    servers.demote(node)
                servers.follow(node)

    def reset(self) -> None:
        """Connections are cut on the way."""
        some = [raw for raw in self.driver.opened if not raw.closed and self.chance.random() < 0.7]
        self.servers.told(f"{len(some)} connections are cut")
        for raw in some:
            raw.wire.reset()

    def slow(self) -> None:
        """A node's clock goes slowly, and so all that it does."""
        node = self.chance.choice(self.servers.nodes)
        node.pace = self.chance.choice([0.3, 5.0, 50.0])
        self.servers.told(f"{node.name} works at {node.pace:g} times its usual time")

    def stall(self) -> None:
        """The client itself is stopped for a while: everything is late at once."""
        seconds = self.chance.random() * 1.5
        self.servers.loop.now += seconds
        self.servers.told(f"the client was stopped for {seconds:.2f} s")

    def fill(self) -> None:
        """A node takes no further connections."""
        node = self.chance.choice(self.servers.nodes)
        node.full = True
        self.servers.told(f"{node.name} is full")
        self._later(self.chance.random() * 2.0, lambda _: setattr(node, "full", False))


FAULTS: tuple[Callable[[Storm], None], ...] = (
    Storm.crash,
    Storm.crash,
    Storm.freeze,
    Storm.partition,
    Storm.isolate,
    Storm.promote,
    Storm.settle,
    Storm.reset,
    Storm.reset,
    Storm.slow,
    Storm.stall,
    Storm.fill,
)
