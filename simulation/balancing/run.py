"""One run: a cluster, its clients and what happens to it, from a seed to an `Outcome`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import pvariance

from clustersql.config import knobs
from clustersql.core.policies.policy import Policy
from clustersql.core.policies.zoned import Zoned

from .client import Client, Log
from .clock import START, Clock
from .dial import Network
from .rivals import RULES
from .server import MEAN, SLOTS, Server

NEAR = 0.0003
"""Seconds of a round trip within a zone."""


def _near(client: int, node: int) -> float:
    return NEAR


def _nowhere(number: int) -> str:
    return ""


@dataclass(frozen=True)
class Scenario:
    """A cluster under load, and what happens to it."""

    nodes: int = 3
    """How many servers there are."""
    clients: int = 50
    """How many programs, each with a pool of its own."""
    load: float = 0.7
    """The share of the healthy nodes' capacity that is asked for."""
    healthy: int | None = None
    """How many nodes count as such; None: all."""
    warm: float = 4.0
    """Seconds before anything is measured."""
    seconds: float = 20.0
    """For how long it is measured."""
    script: tuple[tuple[float, int, Callable[[Server], object]], ...] = ()
    """Each with the seconds after the end of `warm`, the node, and what is done to it."""
    rtt: Callable[[int, int], float] = _near
    """The seconds of a round trip of (client, node)."""
    zone: Callable[[int], str] = _nowhere
    """The zone of a client; "": it prefers none."""
    place: Callable[[int], str] = _nowhere
    """That of a node."""
    think: float = 0.002
    """Mean seconds between the answer and the return of the connection."""
    pool: int = 10
    """``max_size`` of each client."""
    slots: int = SLOTS
    """How many statements a server works on at the same time."""
    drain: float = 5.0
    """Seconds after the last arrival in which what is under way may end."""

    @property
    def rate(self) -> float:
        """Operations per second of one client."""
        healthy = self.nodes if self.healthy is None else self.healthy
        return self.load * healthy * self.slots / MEAN / self.clients


@dataclass(frozen=True)
class Outcome:
    """What was seen.  Moments are in seconds since the measuring began; after the drain what is still under way counts
    as never done.
    """

    scenario: Scenario
    log: Log
    servers: list[Server]
    events: int

    def _moment(self, after: float) -> float:
        return START + self.scenario.warm + after

    def latency(self, share: float, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the seconds within which that ``share`` of the operations that began in the window were done; infinite
        if never.
        """
        low, high = self._moment(begin), self._moment(end)
        log = self.log
        seconds = sorted(s for at, s in zip(log.began, log.seconds, strict=True) if low <= at < high)
        rank = int(share * (bisect_left(log.arrived, high) - bisect_left(log.arrived, low)))
        return seconds[rank] if rank < len(seconds) else float("inf")

    def attempts(self, node: int, begin: float = 0.0, end: float = float("inf")) -> int:
        """Return how many statements were sent to a node in the window."""
        asked = self.servers[node].asked
        return bisect_left(asked, self._moment(end)) - bisect_left(asked, self._moment(begin))

    def away(self) -> float:
        """Return the share of the operations that a node of another zone than the client's has done."""
        since = self._moment(0.0)
        return sum(at >= since for at in self.log.away) / sum(at >= since for at in self.log.began)

    def share(self, nodes: range, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the share of these nodes in all statements of the window."""
        counts = [self.attempts(node, begin, end) for node in range(len(self.servers))]
        return sum(counts[node] for node in nodes) / sum(counts)

    def herding(self, width: float = 0.1) -> float:
        """Return how much the nodes' shares vary between windows of ``width`` seconds, as a multiple of what pure
        chance gives.
        """
        count = int(self.scenario.seconds / width)
        bins = [[self.attempts(n, i * width, (i + 1) * width) for n in range(len(self.servers))] for i in range(count)]
        bins = [row for row in bins if sum(row)]
        even = 1.0 / len(self.servers)
        chance = sum(even * (1.0 - even) / sum(row) for row in bins) / len(bins)
        seen = [pvariance([row[n] / sum(row) for row in bins]) for n in range(len(self.servers))]
        return float((sum(seen) / len(seen) / chance) ** 0.5)

    @property
    def errors(self) -> int:
        """How many operations failed for their user."""
        return len(self.log.errors)

    @property
    def swallowed(self) -> int:
        """How many statements were sent to a silent node, or were waiting for its answer when it fell silent."""
        return sum(server.swallowed for server in self.servers)

    @property
    def dials(self) -> float:
        """Return the dials of the whole run per client."""
        return self.log.dials / self.scenario.clients


def run(scenario: Scenario, rule: str = "least-latency", seed: int = 1) -> Outcome:
    """Play ``scenario`` under a rule of `rivals.RULES`.  The same arguments give the same outcome."""
    draw = Random(seed)
    clock, log = Clock(), Log()
    servers = [Server(f"n{i}", clock, draw, scenario.slots) for i in range(scenario.nodes)]
    by_name = {server.name: server for server in servers}
    clients: list[Client] = []
    for n, server in enumerate(servers):
        server.zone = scenario.place(n)
    for i in range(scenario.clients):
        rtt = {server.name: scenario.rtt(i, n) for n, server in enumerate(servers)}
        settings = knobs.settings(read_only=True, max_size=scenario.pool, zone=scenario.zone(i))
        policy: Policy = RULES[rule](by_name, rtt)
        if settings.zone:
            policy = Zoned(policy, settings.zone, settings.zone_preference)
        client = Client(Network(clock, by_name, rtt), draw, policy, settings, log, scenario.rate, scenario.think)
        clock.at(START + draw.random() * min(1.0, scenario.warm / 4), client.start)
        clients.append(client)
    for after, node, change in scenario.script:
        clock.at(START + scenario.warm + after, change, servers[node])
    end = START + scenario.warm + scenario.seconds
    with clock.installed(draw):
        events = clock.run(end)
        for client in clients:
            client.rate = 0.0
        events += clock.run(end + scenario.drain)
    return Outcome(scenario, log, servers, events)
