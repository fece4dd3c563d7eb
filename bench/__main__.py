"""``make bench``: what clustersql costs per statement and per checkout, beside the raw driver and a driver's own pool.

Rounds of the compared things are interleaved in one process that is pinned to one CPU, so that noise hits all alike; the table shows the
median and the quartiles over the rounds, in microseconds per call.  Results are also written to ``bench/results/overhead.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .overhead import postgres_rows, sqlite_rows

RESULTS = Path(__file__).parent / "results" / "overhead.json"


def measure(rows: dict[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, list[float]]:
    """Return, per row, the microseconds per call of each round; the rows are shuffled within a round."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    names = list(rows)
    for _ in range(rounds):
        random.shuffle(names)
        for name in names:
            call = rows[name]
            began = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - began) / calls * 1e6)
    return times


def table(times: dict[str, list[float]], base: dict[str, str]) -> list[dict[str, object]]:
    """Return median, quartiles and what each row adds to the row it is compared with."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    lines = []
    for name, values in times.items():
        low, _, high = statistics.quantiles(values, n=4)
        added = medians[name] - medians[base[name]] if name in base else None
        lines.append({"what": name, "median_us": medians[name], "quartiles_us": [low, high], "added_us": added})
    return lines


def show(lines: list[dict[str, object]]) -> None:
    """Print the table."""
    for line in lines:
        low, high = line["quartiles_us"]  # type: ignore[misc]
        added = f"{line['added_us']:+8.2f}" if line["added_us"] is not None else " " * 8
        print(f"{line['what']:<48} {line['median_us']:8.2f} us  [{low:.2f}, {high:.2f}] {added}")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(
            0, {min(os.sched_getaffinity(0))}
        )  # before the servers start: client and server share one CPU
    everything: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, rows in (
            ("sqlite3, a file", sqlite_rows(folder)),
            ("psycopg, PostgreSQL on loopback", postgres_rows()),
        ):
            with rows as (calls, base):
                lines = table(measure(calls, options.rounds, options.calls), base)
            print(f"\n{title}")
            show(lines)
            everything += [{"group": title, **line} for line in lines]
    RESULTS.parent.mkdir(exist_ok=True)
    about = {
        "python": sys.version.split()[0],
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.write_text(
        json.dumps({"about": about, "rounds": options.rounds, "calls": options.calls, "rows": everything}, indent=1)
        + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
