"""The scenarios: what each does to a cluster, and how much of it a run plays.

In all but the cluster of equals the load is a share of what the healthy nodes can do: with three nodes, one ten times
slower, 70 % of the nominal capacity would be too much for any rule.  Trouble is always at the last nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from clustersql.core.faults import Fault

from .run import NEAR, Scenario
from .server import Server

ALWAYS = -1000.0
FAULT, BACK = 3.0, 8.0
"""Seconds after the measuring began."""
TEN = 10.0


def equal(nodes: int, load: float = 0.7) -> Scenario:
    """All nodes alike."""
    return Scenario(nodes=nodes, load=load)


def _last(nodes: int, *changes: tuple[float, Callable[[Server], object]], load: float = 0.7) -> Scenario:
    script = tuple((after, nodes - 1, change) for after, change in changes)
    return Scenario(nodes=nodes, healthy=nodes - 1, load=load, script=script)


def slow(nodes: int, load: float = 0.7) -> Scenario:
    """One node is ten times slower."""
    return _last(nodes, (ALWAYS, lambda server: server.slow(TEN)), load=load)


def onset(nodes: int) -> Scenario:
    """One node turns ten times slower."""
    return _last(nodes, (FAULT, lambda server: server.slow(TEN)))


def stalls(nodes: int) -> Scenario:
    """One node stands still for 200 ms about once a second."""
    return replace(_last(nodes, (ALWAYS, Server.stalls)), healthy=None)


def zones(nodes: int) -> Scenario:
    """Every zone has clients and nodes; the network takes 0.3 ms within a zone and 2 ms between them."""
    return Scenario(nodes=nodes, rtt=lambda client, node: 0.0003 if client % 3 == node % 3 else 0.002)


def zoned(nodes: int, load: float = 0.7) -> Scenario:
    """The same, and each client prefers its own zone; as much is asked for in each."""
    third: Callable[[int], str] = lambda number: f"z{number % 3}"  # noqa: E731
    return replace(zones(nodes), clients=48, load=load, zone=third, place=third)


def home_slow(nodes: int) -> Scenario:
    """All clients are in one zone, whose nodes are ten times slower than those elsewhere."""
    third = nodes // 3
    slow = [(ALWAYS, node, lambda server: server.slow(TEN)) for node in range(third)]
    return replace(_home(nodes, 0.7), healthy=nodes - third, script=tuple(slow))


def home_small(nodes: int) -> Scenario:
    """All clients are in one zone, and ask for twice as much as its nodes can do."""
    return _home(nodes, 0.7)


def _home(nodes: int, load: float) -> Scenario:
    third = nodes // 3
    place: Callable[[int], str] = lambda node: f"z{node // third}"  # noqa: E731
    rtt: Callable[[int, int], float] = lambda client, node: NEAR if node < third else 0.0013  # noqa: E731
    return Scenario(nodes=nodes, load=load, zone=lambda client: "z0", place=place, rtt=rtt)


def far(nodes: int) -> Scenario:
    """All clients are in one zone; a third of the nodes is there, a third 2 ms away, a third 80 ms away."""
    third = nodes // 3
    rtts = [0.0003] * (nodes - 2 * third) + [0.002] * third + [0.080] * third
    return Scenario(nodes=nodes, healthy=nodes - third, rtt=lambda client, node: rtts[node])


def failing(nodes: int, fault: Fault = Fault.LOST) -> Scenario:
    """One node answers every statement with an error, in 0.1 ms, while dials and probes of it succeed."""
    return _last(nodes, (FAULT, lambda server: server.fail(fault)))


def hole(nodes: int) -> Scenario:
    """One node falls silent: its packets vanish, both ways."""
    return _last(nodes, (FAULT, Server.silence))


def cold(nodes: int) -> Scenario:
    """One node dies and comes back with a cold cache, ten times slower until it is warm."""
    return _last(nodes, (FAULT, Server.stop), (BACK, lambda server: server.start(cold=True)))


def sized(scenario: Scenario, clients: int, load: float) -> Scenario:
    """Return the scenario for so many clients, each with a pool that is four times what it has in flight on the mean,
    10 at least.
    """
    begin = max([0.0, *(after for after, _, _ in scenario.script)])
    seconds = max(1.0, min(6.0, 18.0 / scenario.nodes))
    scenario = replace(scenario, clients=clients, load=load, seconds=begin + seconds, drain=2.0)
    return replace(scenario, pool=max(10, ceil(4 * scenario.rate * (0.005 + scenario.think))))


SCENARIOS: dict[str, Callable[[int], Scenario]] = {
    "equal": equal,
    "slow": slow,
    "onset": onset,
    "stalls": stalls,
    "zones": zones,
    "far": far,
    "failing": failing,
    "hole": hole,
    "cold": cold,
}
"""What the rules are compared on."""
