"""``make bench``: what clustersql costs and how it recovers, beside the raw drivers and its peers in the same run.

Benchmarks: ``overhead`` (a statement, a checkout), ``aio`` (the same under asyncio), ``connect``, ``recovery``
(faults), ``throughput`` (threads, memory, many nodes), ``concurrency`` (beside the peers' pools), ``causal`` (own
writes on replicas), ``guard`` (a guarded COMMIT), ``frameworks`` (SQLAlchemy and Django over a cluster), ``observing``
(the exporters), ``idle`` (the monitor at rest).  Each runs in a process of its own and leaves a table on the screen,
JSON in ``bench/results`` and a plot in ``docs/performance``.  ``report`` measures nothing: it writes the page and the
plots anew from the results that are kept.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

from . import report

NAMES = tuple("overhead aio connect recovery throughput concurrency causal guard frameworks observing idle".split())


def main() -> int:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; default: all; or report")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works; nothing is written")
    options = parser.parse_args()
    if options.names == ["report"]:
        report.write()
        return 0
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    names = options.names or list(NAMES)
    if len(names) > 1:  # each pins its process, or not
        rest = ["--quick"] if options.quick else []
        return max(subprocess.call([sys.executable, "-m", "bench", name, *rest]) for name in names)
    groups, began = [], time.monotonic()
    for group in importlib.import_module(f".{names[0]}", __package__).run(options.quick):
        report.show(group)
        groups.append(group)
    if not options.quick:
        report.keep(names[0], groups, f'make bench ARGS="{names[0]}"', time.monotonic() - began)
    print(f"\n{names[0]}: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
