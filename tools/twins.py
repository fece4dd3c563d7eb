"""How many lines of ``aio/`` also stand in ``sync/``, with async and await taken out: what is written twice.

Usage: ``python tools/twins.py``; it prints the share, and that of each file, the largest first.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "clustersql"


def lines(room: str) -> dict[str, list[str]]:
    """Return the lines of each file that are not empty, as they would stand in the API without waiting."""
    found = {}
    for path in sorted((PACKAGE / room).glob("*.py")):
        text = re.sub(r"\b(?:async|await) |(?<=__)a(?=enter__|exit__)", "", path.read_text("utf-8"))
        found[path.name] = [line.strip() for line in text.splitlines() if line.strip()]
    return found


def main() -> None:
    """Print the shares.  A line that stands once in ``sync/`` is common once only."""
    left = Counter(line for written in lines("sync").values() for line in written)
    rows, both, total = [], 0, 0
    for name, written in lines("aio").items():
        common = 0
        for line in written:
            if left[line]:
                left[line] -= 1
                common += 1
        rows.append((common, len(written), name))
        both, total = both + common, total + len(written)
    print(f"{both} of {total} lines of aio/, {both / total:.0%}, also stand in sync/")
    for common, count, name in sorted(rows, reverse=True):
        print(f"{common:5} of {count:4}  {common / max(count, 1):4.0%}  {name}")


if __name__ == "__main__":
    main()
