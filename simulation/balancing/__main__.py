"""``make simulate``: the balancing of the real core, simulated.

Prints the bars with what was measured, the rules beside each other, and clusters of other sizes.  Ends with 1 when a
bar is missed. The same seed gives the same tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context

from bench import report

from .bars import Effort, Row
from .table import TITLES, Job, compared, jobs

FULL = (4, 20.0)
QUICK = (1, 10.0)
"""How many seeds, and the seconds that are measured of three nodes."""


def main(argv: Sequence[str]) -> int:
    """Run what the arguments ask for.  Returns 0 when every bar is met, else 1."""
    options = arguments(argv)
    count, seconds = QUICK if options.quick else FULL
    effort = Effort(tuple(range(options.seed, options.seed + count)), seconds)
    work = jobs(effort, options.scenario, options.quick)
    if not work:
        print(f"no scenario is called {options.scenario!r}", file=sys.stderr)
        return 2
    began, tables = time.monotonic(), {part: list(lines) for part, lines in TITLES.items()}
    missed = show(play(work, options.processes), tables)
    if not options.quick and not options.scenario:
        report.keep(
            "simulation", compared(tables["rules"]), "make simulate", time.monotonic() - began, list(tables.values())
        )
    print(f"\n{len(missed)} bars are missed." if missed else "\nEvery bar is met.")
    return 1 if missed else 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m simulation.balancing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, short runs, no other sizes")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--scenario", default="", help="only what is called like this: slow, equal, failing, ...")
    parser.add_argument("--processes", type=int, default=2, help="processes that share the work (default 2)")
    return parser.parse_args(argv)


def play(work: list[Job], processes: int) -> Iterator[tuple[str, list[str], list[Row]]]:
    """Yield what each job found, in their order."""
    if processes < 2:
        yield from map(Job.work, work)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(Job.work, work)


def show(found: Iterator[tuple[str, list[str], list[Row]]], tables: dict[str, list[str]]) -> list[Row]:
    """Print the tables as they come, and append their lines to ``tables``.  Returns the bars that are missed."""
    missed: list[Row] = []
    before = ""
    for part, lines, rows in found:
        if part != before:
            print("", *TITLES[part], sep="\n")
        print(*lines, sep="\n", flush=True)
        tables[part] += lines
        missed += [row for row in rows if row.missed]
        before = part
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
