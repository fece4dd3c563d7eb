"""The result for people, within 80 columns: a node is a column, so that many facts fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .result import ClusterResult, Finding, NodeResult

__all__ = ["show"]

SIDE_BY_SIDE = 3
"""Nodes in one table; more would not fit."""
WIDTH = 18
"""Of each column: four of them, with the space between them, fill 78 columns."""


def show(result: ClusterResult, console: Console) -> None:
    """Print the result of one cluster."""
    console.print(f"[bold]cluster {escape(result.name)}[/] (driver {escape(result.driver)})")
    for nodes in _groups(result.nodes):
        console.print(_facts(nodes))
        if result.steps:
            console.print(_steps(result, [node.name for node in nodes]))
    for crowd in result.crowds:
        color = "green" if crowd.reached == crowd.wanted else "red"
        console.print(
            f"[{color}]{crowd.reached}[/] of {crowd.wanted} transactions at once on {escape(crowd.node)},"
            f" {ms(crowd.seconds)}"
        )
    _show_pool(result, console)
    for kind, color, found in (("note", "yellow", result.notes), ("FINDING", "bold red", result.findings)):
        for text in said(found):
            console.print(f"[{color}]{kind}[/] {escape(text)}")
    if not result.findings:
        console.print("[green]good[/]: no findings")


def _groups(nodes: Sequence[NodeResult]) -> Iterator[Sequence[NodeResult]]:
    for first in range(0, len(nodes), SIDE_BY_SIDE):
        yield nodes[first : first + SIDE_BY_SIDE]


def _facts(nodes: Sequence[NodeResult]) -> Table:
    table = _table("", [node.name for node in nodes])
    rows = {
        "address": [node.address for node in nodes],
        "reachable": [_yes(node.reachable) for node in nodes],
        "logged in": [_yes(node.authenticated) for node in nodes],
        "TLS": [node.tls or ("no" if node.authenticated else "-") for node in nodes],
        "version": [node.version or "-" for node in nodes],
        "role": [node.role for node in nodes],
        **({"zone": [node.zone or "-" for node in nodes]} if any(node.zone for node in nodes) else {}),
        "state": [node.readiness + (f": {node.why}" if node.why else "") for node in nodes],
        "may create": ["-" if node.grants is None else _yes(node.grants) for node in nodes],
        "clock": ["-" if node.clock is None else f"{node.clock * 1e3:+.1f} ms" for node in nodes],
        "connect": [ms(node.connect) for node in nodes],
        "round trip": [ms(node.round_trip) for node in nodes],
        "connections": [_of(node) for node in nodes],
    }
    for what, values in rows.items():
        table.add_row(what, *values)
    return table


def _steps(result: ClusterResult, names: Sequence[str]) -> Table:
    table = _table("seen after", names)
    for step in result.steps:
        values = [f"done, {ms(step.seconds)}" if name == step.on else _seen(step.seen, name) for name in names]
        table.add_row(f"{step.what} on {step.on}", *values)
    return table


def _table(first: str, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, width=WIDTH, no_wrap=True)
    for name in names:
        table.add_column(name, width=WIDTH, overflow="fold")
    return table


def _seen(seen: dict[str, float | None], name: str) -> str:
    return "-" if name not in seen else "[red]not seen[/]" if seen[name] is None else ms(seen[name])


def _show_pool(result: ClusterResult, console: Console) -> None:
    if (pool := result.pool) is not None:
        room = "(its limit is not known)" if pool.room is None else f"of {pool.room}"
        verdict = "[green]fits[/]" if pool.fits else "[red]too many[/]"
        console.print(
            f"pools: max_size {pool.max_size} x {pool.processes} {'process' if pool.processes == 1 else 'processes'},"
            f" one node down: up to {pool.on_one_node} connections on a node {room}: {verdict}"
        )


def said(found: Sequence[Finding]) -> list[str]:
    """Return the findings' texts; what is the same on several nodes is said once."""
    nodes: dict[str, list[str]] = {}
    for finding in found:
        nodes.setdefault(finding.what, []).append(finding.node)
    return [f"{', '.join(names)}: {what}" if any(names) else what for what, names in nodes.items()]


def _of(node: NodeResult) -> str:
    if node.max_connections is None:
        return "-"
    return f"{'?' if node.used_connections is None else node.used_connections} of {node.max_connections}"


def _yes(value: bool) -> str:
    return "[green]yes[/]" if value else "[red]no[/]"


def ms(seconds: float | None) -> str:
    """Return seconds as milliseconds, "-" for None."""
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"
