"""The tables: the bars, the rules beside each other, and least-latency in small and large clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench import measure
from bench.measure import Group

from .bars import CHECKS, Effort, Row
from .rivals import RULES
from .run import Outcome, run
from .scenarios import SCENARIOS, sized

MS = 1000.0
SHARES = (0.5, 0.99, 0.999)

SIZES = (
    *((3, clients, 0.7) for clients in (5, 50, 500, 10_000)),
    *((9, clients, 0.7) for clients in (5, 500)),
    *((100, clients, 0.2) for clients in (5, 50, 500)),
    (1000, 5, 0.01),
)
"""(nodes, clients, load).  Many nodes are played under little load, 1,000 of them by few clients: each has 1,000 nodes
to probe.
"""
SIZED = ("equal", "slow", "hole")


@dataclass(frozen=True)
class Job:
    """A piece of work for one process: the lines of one part of one table."""

    part: str
    name: str
    effort: Effort
    nodes: int = 0
    clients: int = 50
    load: float = 0.7

    def work(self) -> tuple[str, list[str], list[Row]]:
        """Return the part of the table, its lines, and the bars that were measured."""
        if self.part == "bars":
            rows = CHECKS[self.name](self.effort)
            return self.part, [bar_line(row) for row in rows], rows
        return self.part, list(self._compared() if self.part == "rules" else self._sized()), []

    def _compared(self) -> Iterator[str]:
        scenario = SCENARIOS[self.name](self.nodes)
        for rule in RULES:
            outcome = self.effort.play(scenario, self.effort.seeds[0], rule)
            yield f"| {self.name} | {self.nodes} | {rule} | {seen(outcome)} | {trouble(self.name, outcome)} | {outcome.errors} |"

    def _sized(self) -> Iterator[str]:
        scenario = sized(SCENARIOS[self.name](self.nodes), self.clients, self.load)
        outcome = run(scenario, seed=self.effort.seeds[0])
        stuck = outcome.swallowed / self.clients
        yield (
            f"| {self.name} | {self.nodes} | {self.clients} | {self.load:.0%} | {scenario.pool} | {seen(outcome)} "
            f"| {trouble(self.name, outcome)} | {stuck:.2f} | {outcome.dials:.1f} |"
        )


TITLES = {
    "bars": (
        "| bar | what | nodes | mean | worst seed | at most | |",
        "|---|---|---|---|---|---|---|",
    ),
    "rules": (
        "| scenario | nodes | rule | p50 / p99 / p99.9 (ms) | share of the nodes in trouble | errors |",
        "|---|---|---|---|---|---|",
    ),
    "sizes": (
        "| scenario | nodes | clients | load | pool | p50 / p99 / p99.9 (ms) | share of the node in trouble "
        "| stuck per client | dials per client |",
        "|---|---|---|---|---|---|---|---|---|",
    ),
}


def jobs(effort: Effort, scenario: str = "", quick: bool = False) -> list[Job]:
    """Return everything to do, or only what is called like ``scenario``; ``quick`` leaves the sizes out."""
    found = [Job("bars", name, effort) for name in CHECKS]
    once = replace(effort, seconds=effort.seconds / 2)
    found += [Job("rules", name, once, nodes) for nodes in (3, 9) for name in SCENARIOS]
    if not quick:
        found += [Job("sizes", name, effort, n, c, load) for n, c, load in SIZES for name in SIZED]
    return [job for job in found if job.name.startswith(scenario)]


def compared(lines: Sequence[str]) -> list[Group]:
    """Return, for the plot, the p99 of each rule in each scenario of three nodes, from the lines of the table
    of rules.
    """
    groups: dict[str, Group] = {}
    for line in lines:
        name, nodes, rule, seconds = (cell.strip() for cell in line.split("|")[1:5])
        p99 = seconds.split(" / ")[1] if nodes == "3" else ""
        if p99 and p99 != "never":
            group = groups.setdefault(name, Group(f"{name}: p99", "ms"))
            ours = " (clustersql)" if rule == "least-latency" else ""
            group.rows.append(measure.Row(rule + ours, *[float(p99)] * 3))
    return list(groups.values())


def seen(outcome: Outcome) -> str:
    """Return the latencies in milliseconds."""
    return " / ".join(_ms(outcome.latency(share)) for share in SHARES)


def _ms(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds * MS:.1f}" if seconds < 0.01 else f"{seconds * MS:.0f}"


def trouble(name: str, outcome: Outcome) -> str:
    """Return the share of the statements that went to the nodes in trouble, from the moment of the trouble on."""
    if name in ("equal", "zones"):
        return "-"
    nodes = outcome.scenario.nodes
    begin = max([0.0, *(after for after, _, _ in outcome.scenario.script)])
    count = nodes // 3 if name == "far" else 1
    return f"{outcome.share(range(nodes - count, nodes), begin):.2%}"


def bar_line(row: Row) -> str:
    """Return one line of the bars."""
    number = f"{row.bar} | {row.what} | {row.nodes} | {row.value:.2f}{row.unit} | {max(row.values):.2f}{row.unit}"
    return f"| {number} | {row.limit:g}{row.unit} | {'MISSED' if row.missed else 'met'} |"
