"""One cluster, from the first dial to the last drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ...core.view.epoch import older
from ...core.view.position import ahead
from ...nodes.topology import Topology
from .capacity import crowd, pools
from .guard import guarded
from .members import discovered
from .node import inspect
from .result import ClusterResult, NodeResult
from .statements import Scratch, statements
from .wire import Wire, gather
from .zones import zoned

__all__ = ["check_cluster"]


def check_cluster(
    topology: Topology, *, max_connections: int, processes: int, seconds: float, progress: Callable[[str], None]
) -> ClusterResult:
    """Check one cluster, whose driver is one for threads.

    ``seconds`` bounds each single question; ``progress`` is told what is being done.
    """
    result = ClusterResult(topology.name, topology.driver.name)
    wires = {name: Wire(topology, name, seconds) for name in topology.addresses}
    try:
        progress("asking every node")
        result.nodes = _nodes(topology, wires, result, seconds)
        if topology.settings.discover:
            progress("asking the members that the nodes report")
            discovered(topology, wires, result, seconds, _nodes)
        _roles(topology, result)
        zoned(topology, result)
        usable = [node for node in result.nodes if node.readiness == "ready" and not node.error]
        _durability(topology, [wires[node.name] for node in usable if node.role == "primary"], result)
        writers = [] if topology.settings.read_only else [node.name for node in usable if node.role == "primary"]
        guarded(topology, [wires[node.name] for node in usable], writers, result)
        _work(topology, usable, wires, result, max_connections, seconds, progress)
        result.pool = pools(topology.settings, result.nodes, len(result.nodes), processes, result)
    finally:
        gather([wire.close for wire in wires.values()], seconds + 1)
    return result


def _nodes(topology: Topology, wires: dict[str, Wire], result: ClusterResult, seconds: float) -> list[NodeResult]:
    """All at once, so that ten frozen nodes cost one deadline; the findings in the configured order."""
    aside = {name: ClusterResult(result.name, result.driver) for name in wires}
    works = [lambda name=name: inspect(topology, name, wires[name], aside[name]) for name in wires]
    found = []
    for name, outcome in zip(wires, gather(works, 6 * seconds), strict=True):
        if isinstance(outcome, Exception):
            result.find(name, f"the check itself failed: {outcome}")
            found.append(NodeResult(name, "", error=str(outcome)))
        else:
            result.findings += aside[name].findings
            result.notes += aside[name].notes
            found.append(outcome)
    return found


def _roles(topology: Topology, result: ClusterResult) -> None:
    primaries = [node.name for node in result.nodes if node.role == "primary"]
    if not primaries and not topology.settings.read_only:
        result.find("", "no node accepts writes")
    if len(primaries) > 1 and topology.driver.dialect.questions.one_primary:
        result.find("", f"{', '.join(primaries)} all accept writes: they are separate databases (split brain)")
    _histories(result)
    if "bytes" not in topology.driver.dialect.measures_lag:
        _backlog(result)
    versions = Counter(node.version for node in result.nodes if node.version)
    if len(versions) > 1:
        result.note("", "the nodes have different versions: " + ", ".join(versions))


FAR_BEHIND = 16 << 20
"""Bytes: a segment of PostgreSQL's log, which a replica that keeps up is never behind by."""


def _histories(result: ClusterResult) -> None:
    """Find nodes of an older epoch or another database, and replicas that are far behind."""
    told = [node for node in result.nodes if node.epoch is not None]
    primaries = [node for node in told if node.role == "primary" and node.readiness == "ready"]
    if not primaries:
        return
    newest = max(primaries, key=lambda node: node.epoch.number if node.epoch else 0)
    for node in told:
        if why := older(node.epoch, newest.epoch):
            result.find(node.name, f"it is kept out: {why}")
        elif node.role == "replica" and isinstance(node.position, int) and newest.position is not None:
            behind = ahead(newest.position, node.position) or 0
            if behind > FAR_BEHIND:
                result.note(node.name, f"it is {behind >> 20} MB of log behind {newest.name}")


MANY_BEHIND = 1000
"""Transactions."""


def _backlog(result: ClusterResult) -> None:
    """Note replicas that are far behind, where the position counts transactions (MariaDB), or is a set of them."""
    primaries = [node for node in result.nodes if node.role == "primary" and node.position is not None]
    for node in result.nodes:
        if len(primaries) == 1 and node.role == "replica" and node.position is not None:
            behind = ahead(primaries[0].position or 0, node.position) or 0
            if behind > MANY_BEHIND:
                result.note(node.name, f"it is {behind} transactions behind {primaries[0].name}")


def _durability(topology: Topology, wires: Sequence[Wire], result: ClusterResult) -> None:
    questions = topology.driver.dialect.questions
    if not questions.durability or not questions.risky:
        return
    for wire in wires:
        for name, value in sorted(wire.execute(questions.durability)):
            if why := questions.risky.get((str(name), str(value))):
                result.note(wire.node, f"{name} is {str(value) or 'empty'}: {why}")
        if questions.spread and topology.settings.writer == "any":
            told = {str(name): str(value) for name, value in wire.execute(questions.spread)}
            for (name, weak), why in (questions.risky_spread or {}).items():
                if told.get("wsrep_on") == "ON" and told.get(name) == weak:
                    result.note(wire.node, f"{name} is {weak}, and writer is any: {why}")


def _work(
    topology: Topology,
    usable: Sequence[NodeResult],
    wires: dict[str, Wire],
    result: ClusterResult,
    most: int,
    seconds: float,
    progress: Callable[[str], None],
) -> None:
    """The statements with each writable node as the writer, and the crowd on every node."""
    lines = [wires[node.name] for node in usable]
    writers = [wires[node.name] for node in usable if node.role == "primary"]
    for node in usable:
        writer = wires[node.name]
        if writer not in writers or topology.settings.read_only:
            progress(f"transactions at once on {node.name}")
            result.crowds.append(crowd(topology, node, None, most, seconds, result))
            continue
        # The writer first: there a drop is surely possible.
        scratch = Scratch(topology, [writer, *(other for other in writers if other is not writer)], seconds)
        try:
            progress(f"statements on {node.name}")
            node.grants = statements(topology, writer, lines, scratch, seconds, result)
            progress(f"transactions at once on {node.name}")
            table = scratch.name if node.grants and not topology.driver.dialect.questions.one_writer else None
            result.crowds.append(crowd(topology, node, table, most, seconds, result))
        finally:
            if why := scratch.drop():
                result.find(node.name, f"the scratch table {scratch.name} may be left behind, drop it by hand: {why}")
