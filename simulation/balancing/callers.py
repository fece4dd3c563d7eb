"""A closed loop: so many callers of one client, each with one operation after another, as the threads of a program have
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from clustersql.config import knobs
from clustersql.core.booking.shelf import Session
from clustersql.core.policies.named import policy

from .client import Client, Log
from .clock import START, Clock
from .dial import Network
from .run import NEAR
from .server import Server


class Callers(Client):
    """A client whose operations arrive as soon as the ones before are done; it counts checkouts."""

    checkouts = 0

    def start(self) -> None:
        """Know the nodes; the callers come one by one."""
        self.configure()

    def begin(self) -> None:
        """One caller's next operation."""
        self.checkouts += 1
        self.pool.checkout(None, partial(self.first, self.clock.now))

    def succeeded(self, session: Session, began: float) -> None:
        """The caller has its answer, and goes on."""
        super().succeeded(session, began)
        self.clock.at(self.clock.now, self.begin)


@dataclass(frozen=True)
class Steady:
    """What was counted once the pool was warm."""

    checkouts: int
    waits: int
    dials: int
    node_shares: tuple[float, ...]


def steady(
    nodes: int, callers: int, connections: int, seconds: float = 4.0, warm: float = 3.0, seed: int = 1
) -> Steady:
    """Let ``callers`` work over ``nodes`` equal nodes with a pool of so many ``connections``."""
    draw, clock, log = Random(seed), Clock(), Log()
    servers = {f"n{i}": Server(f"n{i}", clock, draw) for i in range(nodes)}
    rtt = dict.fromkeys(servers, NEAR)
    settings = knobs.settings(read_only=True, max_size=connections)
    client = Callers(Network(clock, servers, rtt), draw, policy("least-latency"), settings, log, 1.0, 0.0)
    with clock.installed(draw):
        client.start()
        for i in range(callers):
            clock.at(START + 0.5 + 0.01 * i, client.begin)
        clock.run(START + warm)
        before: Any = client.checkouts, client.pool.waits, log.dials, [len(s.asked) for s in servers.values()]
        clock.run(START + warm + seconds)
    asked = [len(s.asked) - b for s, b in zip(servers.values(), before[3], strict=True)]
    return Steady(
        client.checkouts - before[0],
        client.pool.waits - before[1],
        log.dials - before[2],
        tuple(a / max(1, sum(asked)) for a in asked),
    )
