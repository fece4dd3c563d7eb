"""``clustersql top``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ...errors import ConfigError
from ..clusters import loaded
from .source import Clusters, Program, Source

__all__ = ["top"]


def top(
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file; default: what DBCONFIG names, or config.toml.", show_default=False),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="Watch a program that runs serve() there, in place of a file; several times for several."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The cluster's name, for a file with [[Nodes]], which has none (default).")
    ] = None,
    driver: Annotated[str | None, typer.Option(help="The driver, in place of the file's.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Only this cluster of the file.")] = None,
) -> None:
    """Watch clusters live: their nodes, who holds connections, what happens.

    From a file it asks the nodes by itself, as a program does; with --url it shows what running programs know, several
    at once.  Keys: s sorts by the next column, r reverses, / filters, p pauses, d turns dark to light, q quits; with
    the arrows a node is marked, of which everything is told.
    """
    if url and (config is not None or name or driver or cluster):
        raise ConfigError("--url watches running programs: leave the file and its options out")
    if url:
        programs = list({each.name: each for each in map(Program, url)}.values())
        for each in programs:
            each.read()  # what is wrong with it is said here, and not on a screen
        _show(programs)
        return
    with loaded(config, name, driver, cluster) as clusters:
        _show([Clusters(clusters)])


def _show(sources: Sequence[Source]) -> None:
    try:
        from .screen import Top
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "textual":
            raise
        raise ConfigError('the screen needs textual: pip install "clustersql[top]"') from exc
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("top draws on a terminal, and this is none; a program asks serve() for /state.json")
    logging.getLogger("clustersql").addHandler(logging.NullHandler())  # its lines would tear the screen apart
    Top(sources).run()
