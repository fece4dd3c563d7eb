"""``clustersql route``: which node a checkout would get now, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..cluster import Cluster
from ..core.policies.choice import Candidate, Route
from ..errors import ConfigError
from .clusters import loaded, probed

__all__ = ["route"]


def route(
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file; default: what DBCONFIG names, or config.toml.", show_default=False),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="For reads: any ready node may serve.")] = False,
    role: Annotated[
        str | None, typer.Option(help="Which nodes may serve: primary, replica, any, or prefer-replica.")
    ] = None,
    node: Annotated[str | None, typer.Option(help="The only node that may serve.")] = None,
    max_lag: Annotated[
        str | None, typer.Option(help="How far behind a replica may be: seconds, 2s, 500ms, or a size (16MB).")
    ] = None,
    after: Annotated[str | None, typer.Option(help="The bookmark that a read must have seen.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The cluster's name, for a file with [[Nodes]], which has none (default).")
    ] = None,
    driver: Annotated[str | None, typer.Option(help="The driver, in place of the file's.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Only this cluster of the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout in place of tables.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds to wait until every node was asked.")
    ] = 5.0,
) -> None:
    """Say which node would serve now, and what keeps each other one out.

    A dry run against the live cluster: the nodes are asked as a program asks them, nothing is checked out, and no
    statement of yours is run.  Exit status: 0 a node would serve, 1 none would, 2 cannot run.
    """
    if after is not None and not read_only:
        raise ConfigError("--after is for reads: give --read-only too")
    asked = {"read_only": read_only or None, "role": role, "node": node, "max_lag": _lag(max_lag), "after": after}
    with loaded(config, name, driver, cluster) as clusters:
        found = [
            _route(each, {key: value for key, value in asked.items() if value is not None}, timeout)
            for each in clusters
        ]
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=2))
    else:
        _show(found)
    if not all(one.node for one in found):
        raise typer.Exit(1)


def _lag(text: str | None) -> float | str | None:
    """A bare number is seconds, as in a program."""
    try:
        return text if text is None else float(text)
    except ValueError:
        return text


def _route(cluster: Cluster, options: dict[str, object], timeout: float) -> Route:
    db = cluster.open().options(**options)  # type: ignore[arg-type]
    probed(cluster, timeout)
    return db.route()


def _show(found: list[Route]) -> None:
    console = Console(highlight=False, markup=False)
    for one in found:
        console.print(f"cluster {one.cluster}: {one.node or 'no node'}: {one.why}", soft_wrap=True)
        for text in filter(None, (one.causal, one.guard)):
            console.print(f"  {text}", soft_wrap=True)
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("", "node", "expected", "what speaks against it"):
            table.add_column(heading, justify="right" if heading == "expected" else "left", overflow="fold")
        for each in one.candidates:
            table.add_row(*_row(each))
        console.print(table)


def _row(each: Candidate) -> tuple[str, ...]:
    expected = "-" if each.expected is None else f"{each.expected * 1e3:.1f} ms"
    return "->" if each.chosen else "", each.node, expected, "; ".join(each.against) or "nothing"
