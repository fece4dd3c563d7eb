"""``clustersql demo``."""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from ... import Cluster, ConfigError
from ...testing import FaultProxy
from ...testing.workload import Proof, Workload
from .drawing import svg as picture
from .frame import rows, summary, through
from .guard import show
from .screen import LiveScreen, PlainScreen, Screen
from .story import ENGINES, ONE_ADDRESS, Engine, Stage
from .tally import Tally
from .timeline import Recorder, Timeline

__all__ = ["demo"]

READERS, WRITERS = 5, 3
PAUSE = 0.008
"""Seconds between two operations of a worker: the table shows latencies, not a machine that is out of breath."""


class EngineName(StrEnum):
    """The engines, as the command line knows them."""

    postgres = "postgres"
    galera = "galera"


def demo(
    engine: Annotated[EngineName, typer.Option(help="postgres comes with pip, galera needs the system's MariaDB.")] = (
        EngineName.postgres
    ),
    seconds: Annotated[float, typer.Option(min=2, max=86400, help="How long the workload runs, about.")] = 30.0,
    nodes: Annotated[int, typer.Option(min=3, max=9, help="How many servers.")] = 3,
    one_address: Annotated[
        bool,
        typer.Option("--one-address", help="A promotion behind one address, as of a Kubernetes Service; postgres."),
    ] = False,
    guard: Annotated[
        bool,
        typer.Option("--guard", help="With the commit guard: what became of COMMITs whose answers are cut."),
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Draw the run there: what each node was, who served, how operations ended."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines in place of the live table, as where there is no terminal.")
    ] = False,
) -> None:
    """See a failover: real servers, frozen, killed and brought back.

    A cluster on this machine, a workload through clustersql, SIGSTOP and kill -9.  At the end it proves that every
    acknowledged write is in the database exactly once; exit status 1 if not.
    """
    logging.getLogger("clustersql").addHandler(logging.NullHandler())  # its lines would tear the table apart
    console = Console(highlight=False)
    screen: Screen = PlainScreen(console) if plain or not console.is_terminal else LiveScreen(console)
    if one_address and engine is not EngineName.postgres:
        raise typer.BadParameter("--one-address is played with postgres alone", param_hint="--engine")
    if svg is not None and not (svg.parent.is_dir() and os.access(svg.parent, os.W_OK) and not svg.is_dir()):
        raise typer.BadParameter(f"{svg} cannot be written", param_hint="--svg")
    played = ONE_ADDRESS if one_address else ENGINES[engine]
    tally, proof, run = _perform(played, seconds, nodes, screen, guard)
    for text in (
        "",
        *summary(tally.phases, tally.faults, tally.errors, tally.examples),
        "",
        *proof.lines(),
        through(tally.faults),
    ):
        typer.echo(text)
    if svg is not None:
        _draw(svg, run, played, tally, proof)
    if not proof.holds:
        raise typer.Exit(1)


def _draw(file: Path, run: Timeline, engine: Engine, tally: Tally, proof: Proof) -> None:
    proved, *_ = proof.lines()
    done = sum(phase.operations for phase in tally.phases)
    errors = sum(tally.errors.values())
    words = f"{done} operations of {READERS + WRITERS} threads ended well, {errors} in an error. {proved}"
    try:
        file.write_text(picture(run, f"clustersql demo: {engine.title}, {len(run.nodes)} nodes", words), "utf-8")
    except OSError as exc:
        raise ConfigError(f"--svg: {file} cannot be written: {exc.strerror}") from exc
    typer.echo(f"        drawn: {file}")


def _perform(engine: Engine, seconds: float, nodes: int, screen: Screen, guard: bool) -> tuple[Tally, Proof, Timeline]:
    """Run the whole demo; the servers are stopped at its end, however it ends."""
    # breaker_cap: with the default of 30 s a node that is back would be noticed after the end of the demo.
    cluster = Cluster(
        "demo", driver=engine.driver, max_size=2 * (READERS + WRITERS), breaker_cap=2.0, commit_guard=guard
    )
    with screen:
        screen.say(f"starting {nodes} {engine.title} servers")
        with engine.start(nodes) as servers, FaultProxy(servers.port(servers.nodes[0])) as address:
            if engine is ONE_ADDRESS:
                first = servers.nodes[0]
                cluster.add_node("rw", servers.dsn(first).replace(f":{servers.port(first)}/", f":{address.port}/"))
            for node in servers.nodes if engine is not ONE_ADDRESS else ():
                cluster.add_node(node, servers.dsn(node))
            screen.say(
                "they are up on 127.0.0.1: " + ", ".join(f"{node} :{servers.port(node)}" for node in servers.nodes)
            )
            if guard:
                show(engine, servers, screen)
            with cluster.open() as db:
                tally = Tally(READERS + WRITERS)
                load = Workload(db, readers=READERS, writers=WRITERS, pause=PAUSE, name="demo", told=tally)
                with Recorder(cluster.metrics, tally.started) as recorder:
                    _work(engine, cluster, load, Stage(servers, tally, screen, seconds, address))
            screen.say("looking up every write")
            # Asked by the administrator's own connection, and not through clustersql.
            node = getattr(servers, "primary", servers.nodes[0])
            proof = load.prove(lambda query: servers.execute(node, query))
            screen.say("stopping the servers")
    return tally, proof, recorder.timeline(tally.counts, tally.marks)


def _work(engine: Engine, cluster: Cluster, load: Workload, stage: Stage) -> None:
    load.create(*cluster.nodes)
    with load:
        stage.screen.say(f"{READERS} threads read and {WRITERS} write, through clustersql")
        stage.screen.watch = lambda: rows(cluster.metrics(), stage.tally.latest(), monotonic())
        try:
            engine.play(stage)
        finally:
            stage.screen.watch = None
