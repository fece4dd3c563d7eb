"""The bars: what least-latency must reach, as numbers over several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from clustersql.core.faults import Fault

from . import scenarios
from .run import Outcome, Scenario, run
from .scenarios import BACK, FAULT

MS = 1000.0


@dataclass(frozen=True)
class Effort:
    """How much is played: ``seconds`` are measured per run of three nodes (of more nodes fewer, for as many
    statements).
    """

    seeds: tuple[int, ...]
    seconds: float

    def play(self, scenario: Scenario, seed: int, rule: str = "least-latency", scripted: float = BACK + 6.0) -> Outcome:
        """Return the outcome of ``scenario``; one with a script is played for ``scripted`` seconds at least: it is not
        cut short before what is measured of it is over.
        """
        least = scripted if any(after > 0.0 for after, _, _ in scenario.script) else 0.0
        return run(replace(scenario, seconds=max(least, self.seconds * 3 / scenario.nodes)), rule, seed)


@dataclass(frozen=True)
class Row:
    """One bar, and what was measured of it."""

    bar: int
    """Its number on the list of bars."""
    what: str
    """What was measured, in words."""
    nodes: int
    """With how many nodes."""
    values: tuple[float, ...]
    """What was measured, per seed."""
    limit: float
    """What the mean may be at most."""
    unit: str = ""
    """That of the values; "": they are ratios."""

    @property
    def value(self) -> float:
        """The mean over the seeds."""
        return sum(self.values) / len(self.values)

    @property
    def missed(self) -> bool:
        """Whether the mean is above the limit."""
        return not self.value <= self.limit


def over_seeds(effort: Effort, measure: Callable[[int], Sequence[float]]) -> list[tuple[float, ...]]:
    """Return, for each number that ``measure`` gives for a seed, its values over the seeds."""
    return list(zip(*(measure(seed) for seed in effort.seeds), strict=True))


def slow(nodes: int, load: float, effort: Effort) -> list[Row]:
    """Bars 1 to 4: a node ten times slower, beside the same without that node."""

    def measure(seed: int) -> Sequence[float]:
        slow = effort.play(scenarios.slow(nodes, load), seed)
        without = effort.play(scenarios.equal(nodes - 1, load), seed)
        p99, p999 = (slow.latency(share) / without.latency(share) for share in (0.99, 0.999))
        return p99, p999, slow.share(range(nodes - 1, nodes)) * 100

    p99, p999, share = over_seeds(effort, measure)
    if load > 0.7:
        return [Row(3, "a slow node at 85 %: p99 / p99 without it", nodes, p99, 1.10)]
    return [
        Row(1, "a slow node: p99 / p99 without it", nodes, p99, 1.10),
        Row(2, "a slow node: p99.9 / p99.9 without it", nodes, p999, 1.25),
        Row(4, "share of the slow node", nodes, share, 0.5, "%"),
    ]


def equal(nodes: int, load: float, effort: Effort) -> list[Row]:
    """Bars 5 and 6: equal nodes, beside the omniscient balancer and beside chance."""

    def measure(seed: int) -> Sequence[float]:
        ours = effort.play(scenarios.equal(nodes, load), seed)
        if load < 0.95:
            return (ours.herding(),)
        best = effort.play(scenarios.equal(nodes, load), seed, "omniscient")
        return ours.herding(), ours.latency(0.99) / best.latency(0.99)

    herding, *p99 = over_seeds(effort, measure)
    rows = [Row(6, f"herding at {load:.0%}: variation of shares / chance", nodes, herding, 2.5)]
    return [Row(5, "equal nodes at 95 %: p99 / omniscient", nodes, values, 1.25) for values in p99] + rows


def failing(nodes: int, fault: Fault, effort: Effort) -> list[Row]:
    """Bar 7: a node that fails at once."""

    def measure(seed: int) -> Sequence[float]:
        seen = effort.play(scenarios.failing(nodes, fault), seed)
        attempts = seen.attempts(nodes - 1, FAULT, FAULT + 10.0)
        return attempts / seen.scenario.clients, seen.errors

    attempts, errors = over_seeds(effort, measure)
    what = f"a failing node ({fault.value})"
    return [
        Row(7, f"{what}: attempts per client in 10 s", nodes, attempts, 1.5),
        Row(7, f"{what}: errors that users see", nodes, errors, 0.0),
    ]


def hole(nodes: int, effort: Effort) -> list[Row]:
    """Bar 8: a black hole.  Each client must lose one statement to learn of it."""

    def measure(seed: int) -> Sequence[float]:
        seen = effort.play(scenarios.hole(nodes), seed)
        return (seen.swallowed / seen.scenario.clients,)

    (stuck,) = over_seeds(effort, measure)
    return [Row(8, "a black hole: stuck statements per client", nodes, stuck, 1.2)]


def far(nodes: int, effort: Effort) -> list[Row]:
    """Bar 11: nodes that are 80 ms away."""
    third = range(nodes - nodes // 3, nodes)
    (share,) = over_seeds(effort, lambda seed: (effort.play(scenarios.far(nodes), seed).share(third) * 100,))
    return [Row(11, "share of the nodes that are 80 ms away", nodes, share, 0.2, "%")]


def zoned(nodes: int, effort: Effort) -> list[Row]:
    """Bar 14: equal zones, with a network between them that takes longer, and with one that does not."""

    def measure(seed: int) -> Sequence[float]:
        scenario = scenarios.zoned(nodes)
        return [
            effort.play(one, seed).away() * 100 for one in (scenario, replace(scenario, rtt=scenarios.equal(3).rtt))
        ]

    far_apart, near = over_seeds(effort, measure)
    return [
        Row(14, "equal zones: share of what leaves the zone", nodes, far_apart, 2.0, "%"),
        Row(14, "equal zones at no distance: the same", nodes, near, 2.0, "%"),
    ]


def home_slow(nodes: int, effort: Effort) -> list[Row]:
    """Bar 15: the own zone is ten times slower."""
    (stays,) = over_seeds(effort, lambda seed: ((1 - effort.play(scenarios.home_slow(nodes), seed).away()) * 100,))
    return [Row(15, "the own zone ten times slower: share of what stays", nodes, stays, 5.0, "%")]


def home_small(nodes: int, effort: Effort) -> list[Row]:
    """Bar 16: the own zone cannot carry the load, beside the same without zones."""

    def measure(seed: int) -> Sequence[float]:
        scenario = scenarios.home_small(nodes)
        ours, without = effort.play(scenario, seed), effort.play(replace(scenario, zone=lambda client: ""), seed)
        return ours.latency(0.99) / without.latency(0.99), ours.errors

    p99, errors = over_seeds(effort, measure)
    return [
        Row(16, "twice as much as the own zone can do: p99 / p99 without zones", nodes, p99, 2.0),
        Row(16, "twice as much as the own zone can do: errors that users see", nodes, errors, 0.0),
    ]


def cold(nodes: int, effort: Effort) -> list[Row]:
    """Bar 12: a node is back, with a cold cache; beside the first seconds of the same run."""

    def measure(seed: int) -> Sequence[float]:
        seen = effort.play(scenarios.cold(nodes), seed)
        return (seen.latency(0.99, BACK, BACK + 5.0) / seen.latency(0.99, 0.0, FAULT),)

    (ratio,) = over_seeds(effort, measure)
    return [Row(12, "back with a cold cache: p99 of 5 s / p99 before", nodes, ratio, 1.1)]


def onset(nodes: int, effort: Effort) -> list[Row]:
    """Bar 13: a node turns slow."""

    def measure(seed: int) -> Sequence[float]:
        seen = effort.play(scenarios.onset(nodes), seed, scripted=FAULT + 1.0)
        return (seen.latency(0.99, FAULT, FAULT + 1.0) * MS,)

    (p99,) = over_seeds(effort, measure)
    return [Row(13, "a node turns slow: p99 of the first second", nodes, p99, 100.0, " ms")]


Check = Callable[[Effort], list[Row]]


def checks(nodes: int) -> dict[str, Check]:
    """Return every check for a cluster of so many nodes, by name."""
    found: dict[str, Check] = {
        "slow": partial(slow, nodes, 0.7),
        "slow-85": partial(slow, nodes, 0.85),
        "equal": partial(equal, nodes, 0.7),
        "equal-95": partial(equal, nodes, 0.95),
        "hole": partial(hole, nodes),
        "far": partial(far, nodes),
        "zoned": partial(zoned, nodes),
        "home-slow": partial(home_slow, nodes),
        "home-small": partial(home_small, nodes),
        "cold": partial(cold, nodes),
        "onset": partial(onset, nodes),
    }
    for fault in (Fault.LOST, Fault.NOT_READY, Fault.OVERLOADED):
        found[f"failing-{fault.value.replace(' ', '-')}"] = partial(failing, nodes, fault)
    return found


CHECKS: dict[str, Check] = {f"{name}-{nodes}": check for nodes in (3, 9) for name, check in checks(nodes).items()}
