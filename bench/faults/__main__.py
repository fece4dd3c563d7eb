"""``make faults``: each fault on real clusters, and what a program sees of it with the defaults and with tuned knobs.

``make faults ARGS="postgresql freeze-replica"`` plays one; without a name all of that engine, without an engine all.
The rows of all are kept in ``bench/results/faults.json`` and written into ``docs/faults.md``; those of some only with
``--keep``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import ModuleType

from clustersql.testing import Network

from . import galera, page, postgresql
from .play import Theatre
from .scene import Fault

ENGINES = {engine.NAME: engine for engine in (postgresql, galera)}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; ``faults`` of them has the engines and their faults that are meant."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("engine", nargs="?", choices=ENGINES, help="default: all")
    parser.add_argument("names", nargs="*", metavar="FAULT", help="default: all of the engine")
    parser.add_argument("--runs", type=int, default=3, help="how often each is played (default: 3)")
    parser.add_argument("--keep", action="store_true", help="write the rows into the page, also when they are not all")
    parser.add_argument("--list", action="store_true", help="name the faults, and do nothing")
    options = parser.parse_args(arguments)
    options.whole = options.engine is None
    engines = list(ENGINES.values()) if options.whole else [ENGINES[options.engine]]
    options.faults = {engine: list(engine.FAULTS) for engine in engines}
    if options.names:
        known = {fault.name: fault for fault in engines[0].FAULTS}
        if unknown := [name for name in options.names if name not in known]:
            parser.error(f"no such fault of {options.engine}: {', '.join(unknown)}; there are {', '.join(known)}")
        options.faults = {engines[0]: [known[name] for name in options.names]}
    return options


def main() -> int:
    """Play what is asked for."""
    options = parse(sys.argv[1:])
    logging.disable()
    found: list[page.Row] = []
    for engine, faults in options.faults.items():
        if options.list:
            print("\n".join(f"{engine.NAME} {fault.name}: {fault.title}" for fault in faults))
            continue
        with ExitStack() as stack:
            theatre = Theatre(engine, stack)
            for fault in faults:
                found += _rows(engine, theatre, fault, min(options.runs, fault.runs))
    if found and (options.whole or options.keep):
        page.keep(found, options.whole)
    return int(any(row.wrong for row in found))


def _rows(engine: ModuleType, theatre: Theatre, fault: Fault, runs: int) -> list[page.Row]:
    if fault.way == "network" and (obstacle := Network.obstacle()):
        print(f"{engine.NAME} {fault.name}: not played, {obstacle}")
        return []
    began = time.monotonic()
    rows = list(page.rows(engine.NAME, fault.name, fault.title, [theatre.play(fault) for _ in range(runs)]))
    print(f"\n{engine.NAME} {fault.name}: {fault.title} [{time.monotonic() - began:.0f} s]")
    for row in rows:
        print(f"  {row.knobs:<8} {row.api:<8} out {page.noticed(row.taken_out):<24}", end="")
        print(
            f" reads {page.times(row.reads):<24} writes {page.times(row.writes):<24} itself {page.times(row.bare):<24}",
            end="",
        )
        print(f" errors: {page.errors(row.errors)}; wrong: {row.wrong}; slow: {', '.join(row.slow)}", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
