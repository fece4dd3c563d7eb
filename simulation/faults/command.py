"""The command: run seeds, in parallel, and show the history of those that fail."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context

from bench import report
from bench.measure import Group, Row

from .breakages import BREAKAGES
from .seed import Outcome, simulate

CHUNK = 50
ENOUGH = 100_000
"""Seeds from which on the outcome is kept for the page on performance."""
SUMMED = ("events", "recovered statements", "tokens lost by the servers")


def main(argv: list[str]) -> int:
    """Run the seeds; 0: all is well, 1: at least one history breaks the guarantee."""
    options = _options(argv)
    seeds = options.seed or range(options.first, options.first + options.seeds)
    began, totals, failing = time.perf_counter(), Counter[str](), []
    for seed, wrong, text, outcomes in _outcomes(list(seeds), options.jobs, options.broken):
        totals.update(outcomes)
        if options.verbose or wrong:
            print(f"--- seed {seed}\n{text}\n")
        if wrong:
            failing.append(seed)
            if len(failing) >= options.most:
                break
    seconds = time.perf_counter() - began
    _summary(totals, failing, seconds)
    if totals["seeds"] >= ENOUGH and not options.broken:
        report.keep("simulation-faults", told(totals, len(failing)), "make simulate", seconds)
    return 1 if failing else 0


def told(totals: Counter[str], failing: int) -> list[Group]:
    """Return for the page how many seeds were run, and what the programs were told."""
    counted = {"seeds": totals["seeds"], "seeds that break the guarantee": failing}
    counted |= {name: totals[name] for name in SUMMED}
    programs = {name: count for name, count in sorted(totals.items()) if name not in counted}
    return [
        Group("Fault simulation", "how many", [Row(name, n, n, n) for name, n in counted.items()]),
        Group("Programs, and how they ended", "how many", [Row(name, n, n, n) for name, n in programs.items()]),
    ]


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, action="append", help="this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--most", type=int, default=3, help="stop after so many that fail")
    parser.add_argument("--break", dest="broken", choices=sorted(BREAKAGES), help="break a rule of the library first")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every history")
    return parser.parse_args(argv)


Told = tuple[int, list[str], str, Counter[str]]


def _outcomes(seeds: list[int], jobs: int, broken: str | None) -> Iterator[Told]:
    if jobs <= 1 or len(seeds) <= CHUNK:
        yield from _each(seeds, broken)
        return
    chunks = [(seeds[i : i + CHUNK], broken) for i in range(0, len(seeds), CHUNK)]
    with get_context("spawn").Pool(jobs) as pool:
        for told in pool.imap(_chunk, chunks):
            yield from told


def _chunk(chunk: tuple[list[int], str | None]) -> list[Told]:
    return list(_each(*chunk))


def _each(seeds: list[int], broken: str | None) -> Iterator[Told]:
    with BREAKAGES[broken].applied() if broken else nullcontext():
        for seed in seeds:
            yield _told(simulate(seed))


def _told(outcome: Outcome) -> Told:
    counts = outcome.history.outcomes + Counter(
        {
            "seeds": 1,
            "events": outcome.events,
            "recovered statements": outcome.recovered,
            "tokens lost by the servers": outcome.lost,
        }
    )
    return outcome.seed, outcome.history.wrong, str(outcome), counts


def _summary(totals: Counter[str], failing: list[int], seconds: float) -> None:
    for name in sorted(totals):
        print(f"{totals[name]:>10} {name}")
    print(f"{totals['seeds'] / seconds:10.0f} seeds per second")
    if failing:
        again = " ".join(f"--seed {seed}" for seed in failing)
        print(f"FAILED; again by: python -m simulation.faults -v {again}", file=sys.stderr)
