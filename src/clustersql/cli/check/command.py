"""``clustersql check``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ...cluster import Cluster, from_config
from ...config.file import ClusterConfig, default_path, read
from ...config.knobs import settings
from ...errors import ConfigError
from ...nodes.topology import Topology
from ...registry import DEFAULT_DRIVER, driver_of
from .cluster import check_cluster
from .result import ClusterResult
from .table import show

__all__ = ["check"]


def check(
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file; default: what DBCONFIG names, or config.toml.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The cluster's name, for a file with [[Nodes]], which has none (default).")
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(help=f"The driver, in place of the file's; {DEFAULT_DRIVER} for a file with [[Nodes]]."),
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Check only this cluster of the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout in place of tables.")] = False,
    max_connections: Annotated[
        int, typer.Option(min=1, max=100_000, help="The most transactions to open at once on a node.")
    ] = 20,
    processes: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many processes of your program will run, each with its pool.")
    ] = 1,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, max=3600, help="Seconds for each question; default: connect_timeout.")
    ] = None,
) -> None:
    """Check every node of a cluster before relying on it.

    What it says of itself, what it lets us do and what that costs.  On a scratch table with a name of its own, always
    dropped: create, select, insert, update and delete, each seen on every other node, and transactions at once.  No
    other table is touched.  Exit status: 0 good, 1 findings, 2 cannot run.
    """
    logging.getLogger("clustersql").addHandler(logging.NullHandler())
    results = [_check(each, max_connections, processes, timeout) for each in _clusters(config, name, driver, cluster)]
    good = not any(result.findings for result in results)
    if as_json:
        typer.echo(json.dumps({"good": good, "clusters": [result.as_json() for result in results]}, indent=2))
    else:
        console = Console(highlight=False)
        for result in results:
            show(result, console)
    if not good:
        raise typer.Exit(1)


def _clusters(path: Path | None, name: str | None, driver: str | None, only: str | None) -> list[Topology]:
    """Read the file; every mistake in it is told before any node is asked.

    ``only`` picks a cluster in either form, ``name`` also names the one of the ancestor's form.
    """
    if name and only and name != only:
        raise ConfigError(f"--name {name} and --cluster {only} contradict each other: give one of them")
    file = path or Path(default_path())
    found = [(each, _cluster(each)) for each in read(file, name=name or None, driver=driver)]
    picked = [(each, cluster) for each, cluster in found if only in (None, each.name)]
    if not picked:
        raise ConfigError(f"{file}: no cluster {only!r}; it has {', '.join(each.name for each, _ in found)}")
    return [_topology(each, cluster) for each, cluster in picked]


def _cluster(each: ClusterConfig) -> Cluster:
    driver = driver_of(each.driver, each.async_driver)
    return from_config(each.name, driver, each.async_driver, each.settings, each.nodes)


def _topology(each: ClusterConfig, cluster: Cluster) -> Topology:
    """Return a cluster's nodes without its pool and monitor: check asks each of them, whatever is believed of it."""
    if cluster.driver is None:
        raise ConfigError(
            f"cluster {each.name!r} has no driver for threads, which check works with: give one with --driver"
        )
    topology = Topology(each.name, cluster.driver, settings(**each.settings))
    for name, address in each.nodes:
        topology.add(name, address)
    return topology


def _check(topology: Topology, most: int, processes: int, timeout: float | None) -> ClusterResult:
    seconds = timeout or topology.settings.connect_timeout
    console = Console(stderr=True, highlight=False)  # stdout is the result's
    with console.status(f"cluster {topology.name}") as status:
        return check_cluster(
            topology,
            max_connections=most,
            processes=processes,
            seconds=seconds,
            progress=lambda what: status.update(f"cluster {topology.name}: {what}"),
        )
