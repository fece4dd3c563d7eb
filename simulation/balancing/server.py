"""Simulated nodes: a queue in front of a few slots, and what can be wrong with a node.

A statement that arrives takes the slot that is free first (FIFO); its time is lognormal.  Dials and probes pass the
queue: they cost a node's own slowness and the network, no slot.  A statement is as slow as the node was when it
arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from heapq import heapreplace
from math import exp, log
from random import Random

from clustersql.core.faults import Fault
from clustersql.core.view.node import Readiness, Report, Role

from .clock import Clock

MEAN = 0.004
"""Seconds of a statement, on the mean; p99 is 6.2 times as much."""
SIGMA = 1.0
SLOTS = 8
LOGIN = 0.001
"""Seconds that a node works on a new connection, beside three round trips."""
QUESTION = 0.0001
"""Seconds that a node works on a probe, and in which a failing node fails."""
STALL = 0.200
"""Seconds of one stall; the next begins about a second after the last."""
COLD = 3000
"""Statements until a cold cache is warm; the first costs ten times as much."""

_MU = log(MEAN) - SIGMA * SIGMA / 2
Answered = Callable[[Fault | None], object]


class Mode(Enum):
    """How a node answers."""

    SERVING = "serving"
    SILENT = "silent"  # packets vanish, both ways: a black hole
    DOWN = "down"  # refuses connections
    FAILING = "failing"  # answers each statement with an error, at once


class Server:
    """One node.  ``asked``: when each statement was sent to it; ``swallowed``: how many answers nobody will
    ever get.
    """

    def __init__(self, name: str, clock: Clock, draw: Random, slots: int = SLOTS) -> None:
        self.name = name
        self.zone = ""
        self.clock = clock
        self.mode = Mode.SERVING
        self.factor = 1.0
        self.fault: Fault = Fault.LOST
        self.cold = 0
        self.asked: list[float] = []
        self.swallowed = 0
        self.free = [0.0] * slots
        self.links: dict[Link, None] = {}  # in the order in which they were made: a set's order differs from run to run
        self._draw = draw
        self._stall: tuple[float, float] | None = None

    def wait(self, arrival: float) -> float:
        """Return the seconds that a statement which arrives at ``arrival`` would wait for a slot."""
        return max(0.0, self.free[0] - arrival)

    def finish(self, arrival: float) -> float:
        """Return when a statement that arrives at ``arrival`` is done, and occupy its slot until then."""
        start = max(arrival, self.free[0])
        seconds = exp(self._draw.gauss(_MU, SIGMA)) * self.factor
        if self.cold:
            seconds *= 1.0 + 9.0 * self.cold / COLD
            self.cold -= 1
        end = start + seconds if self._stall is None else self._through_stalls(start, seconds)
        heapreplace(self.free, end)
        return end

    def _through_stalls(self, start: float, seconds: float) -> float:
        assert self._stall is not None
        while start >= self._stall[1]:
            self._next_stall(self._stall[1])
        begin, end = self._stall
        if start >= begin:
            return end + seconds
        return start + seconds + (STALL if start + seconds > begin else 0.0)

    def _next_stall(self, after: float) -> None:
        begin = after + self._draw.expovariate(1.0)
        self._stall = (begin, begin + STALL)

    @property
    def report(self) -> Report:
        """What the node says of itself when it is asked."""
        broken = self.mode is Mode.FAILING and self.fault is Fault.NOT_READY
        return Report(Role.REPLICA, Readiness.NOT_READY if broken else Readiness.READY)

    # -- what a script does to it --------------------------------------------------------------------------------------

    def stalls(self) -> None:
        """Stop for `STALL` seconds about once a second, from now on."""
        self._next_stall(self.clock.now)

    def slow(self, factor: float) -> None:
        """Be ``factor`` times as slow as the others, from now on."""
        self.factor = factor

    def silence(self) -> None:
        """Neither hear nor answer, from now on."""
        self.mode = Mode.SILENT

    def fail(self, fault: Fault) -> None:
        """Answer each statement with ``fault``, at once, from now on."""
        self.mode, self.fault = Mode.FAILING, fault

    def stop(self) -> None:
        """Die: every connection is reset, new ones are refused."""
        self.mode = Mode.DOWN
        self.free = [0.0] * len(self.free)
        for link in list(self.links):
            link.broken()

    def start(self, cold: bool = False) -> None:
        """Serve, from now on; ``cold``: with an empty cache."""
        self.mode = Mode.SERVING
        self.cold = COLD if cold else 0

    # -- what a client asks of it --------------------------------------------------------------------------------------

    def connect(self, rtt: float, answered: Callable[[Link | None], object]) -> None:
        """Dial: ``answered`` is called with the connection, or None when it was refused; never while the node is
        silent.
        """
        now = self.clock.now
        if self.mode is Mode.DOWN:
            self.clock.at(now + rtt, answered, None)
        elif self.mode is not Mode.SILENT:
            self.clock.at(now + 3 * rtt + LOGIN * self.factor, self._welcome, rtt, answered)

    def _welcome(self, rtt: float, answered: Callable[[Link | None], object]) -> None:
        if self.mode is Mode.SILENT:
            return
        answered(None if self.mode is Mode.DOWN else Link(self, rtt))


class Link:
    """One connection to a server: at most one statement at a time."""

    __slots__ = ("_waiting", "alive", "rtt", "serial", "server")

    def __init__(self, server: Server, rtt: float) -> None:
        self.server = server
        self.rtt = rtt
        self.alive = True
        self.serial = server.clock.serial()
        self._waiting: Answered | None = None
        server.links[self] = None

    def execute(self, answered: Answered) -> None:
        """Send a statement; ``answered`` gets None, or the fault."""
        server, clock = self.server, self.server.clock
        self._waiting = answered
        server.asked.append(clock.now)
        mode = server.mode
        if mode is Mode.SERVING:
            clock.at(server.finish(clock.now + self.rtt / 2) + self.rtt / 2, self._deliver, answered)
        elif mode is Mode.FAILING:
            clock.at(clock.now + self.rtt + QUESTION, self._deliver, answered, server.fault)
        elif mode is Mode.SILENT:
            server.swallowed += 1
        else:
            clock.at(clock.now + self.rtt, self._deliver, answered, Fault.LOST)

    def _deliver(self, answered: Answered, fault: Fault | None = None) -> None:
        if self._waiting is not answered:
            return  # the client has given up, or the node has died since
        if self.server.mode is Mode.SILENT:
            self.server.swallowed += 1
            return
        self._waiting = None
        answered(fault)

    def ask(self, answered: Callable[[bool], object]) -> None:
        """Probe: ``answered`` gets True; False when the connection is dead; nothing while the node is silent."""
        clock = self.server.clock
        if not self.alive:
            clock.at(clock.now, answered, False)
        elif self.server.mode is not Mode.SILENT:
            clock.at(clock.now + self.rtt + QUESTION * self.server.factor, answered, True)

    def broken(self) -> None:
        """The connection was reset, by the node's death or by the client itself (`close`): who waits learns that it is
        lost.
        """
        self.close()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.server.clock.at(self.server.clock.now, waiting, Fault.LOST)

    def close(self) -> None:
        """End it."""
        self.alive = False
        self.server.links.pop(self, None)
