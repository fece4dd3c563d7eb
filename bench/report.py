"""What a run leaves: tables on the screen, JSON in ``bench/results``, plots for ``docs/performance.md``."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import plot
from .measure import Group, Row

RESULTS = Path(__file__).parent / "results"
PLOTS = Path(__file__).parent.parent / "docs" / "performance"
FIGURES = ("median", "low", "high")
PAGE = PLOTS.parent / "performance.md"
PACKAGES = (
    "psycopg psycopg-pool PyMySQL asyncpg aiomysql SQLAlchemy aws-advanced-python-wrapper hasql mysql-connector-python"
)


def about() -> dict[str, object]:
    """Return where and with what it was measured."""
    versions = {name: found for name in PACKAGES.split() if (found := _version(name))}
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {_cpu()}",
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def show(group: Group) -> None:
    """Print a table."""
    width = max(len(row.name) for row in group.rows)
    print(f"\n{group.title} [{group.unit}]")
    for row in group.rows:
        print(
            f"  {row.name:<{width}} {_number(row.median):>10}  {spread(row):>22} {added(row):>9}  {row.note}".rstrip()
        )


def markdown(group: Group) -> str:
    """Return a table as it stands in the documentation."""
    lines = [f"| {group.title} | median, {group.unit} | quartiles | added | |", "|---|---|---|---|---|"]
    lines += [f"| {r.name} | {_number(r.median)} | {spread(r)} | {added(r)} | {r.note} |" for r in group.rows]
    return "\n".join(line.replace("|  |", "| |") for line in lines)


def spread(row: Row) -> str:
    """Return the quartiles, where there are any."""
    return "" if row.low == row.high else f"{_number(row.low)} to {_number(row.high)}"


def added(row: Row) -> str:
    """Return what a row takes more than the one it is compared with."""
    return "" if row.added is None else f"{row.added:+.2f}"


def _number(value: float) -> str:
    return "never" if value == float("inf") else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def keep(
    name: str, groups: list[Group], command: str, seconds: float, tables: Sequence[Sequence[str]] | None = None
) -> None:
    """Write the results and the plot of one benchmark, which took so many seconds, and the page anew.

    ``tables``: lines of Markdown that stand on the page instead of the groups, which are then for the plot alone.
    """
    RESULTS.mkdir(exist_ok=True)
    PLOTS.mkdir(exist_ok=True)
    kept = {"about": about(), "command": command, "seconds": round(seconds)}
    kept["groups"] = [_plain(asdict(group)) for group in groups]
    if tables is not None:
        kept["tables"] = tables
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    write()


def write() -> None:
    """Write the page and the plots anew from the results that are kept."""
    page = PAGE.read_text("utf-8")
    for name in named(page):
        (PLOTS / f"{name}.svg").write_text(plot.bars(told(name)))
    PAGE.write_text(rewritten(page), "utf-8")


def named(page: str) -> list[str]:
    """Return the kept results that have a place on the page.  Others are another page's, and have another form."""
    kept = sorted(file.stem for file in RESULTS.glob("*.json"))
    return [name for name in kept if f"<!-- bench: {name} -->" in page]


def told(name: str) -> list[Group]:
    """Return the tables of the results that were kept."""
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    return [Group(each["title"], each["unit"], [_row(row) for row in each["rows"]]) for each in kept["groups"]]


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group as JSON knows it, which has no infinity: null is *never*."""
    for row in group["rows"]:
        for key in FIGURES:
            row[key] = None if row[key] == float("inf") else row[key]
    return group


def _row(row: dict[str, Any]) -> Row:
    return Row(**row | {key: float("inf") if row[key] is None else row[key] for key in FIGURES})


def section(name: str) -> str:
    """Return what stands in the documentation between the comments of a benchmark: its command, when and where, and its
    tables.
    """
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    where = kept["about"]
    versions = ", ".join(f"{package} {number}" for package, number in where["versions"].items())
    took = f", {kept['seconds'] / 60:.0f} min" if kept.get("seconds", 0) >= 60 else ""
    head = f"`{kept['command']}`, {where['date']}{took}, Python {where['python']}, {where['machine']}, load {where['load']}"
    tables = ["\n".join(table) for table in kept.get("tables", ())] or [markdown(group) for group in told(name)]
    return "\n\n".join(
        [f"{head}; {versions}." if versions else f"{head}.", *tables, f"![{name}](performance/{name}.svg)"]
    )


def rewritten(page: str) -> str:
    """Return the page with the sections of all kept results as they are now."""
    for name in named(page):
        begin, end = f"<!-- bench: {name} -->", f"<!-- end of bench: {name} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{section(name)}\n\n{end}{rest.partition(end)[2]}"
    return page
