"""How many lines of ``aio/`` also stand in ``sync/``, with async and await taken out: what is written twice.

Usage: ``python tools/twins.py``; it prints the share, and that of each file, the largest first.  A line such as
``return self`` stands in both by chance; so the second share is that of runs of three lines and more, in files of the
same name: whoever changes one of these changes its twin.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "clustersql"
RUN = 3
"""Lines one after another that are not common by chance."""


def lines(room: str) -> dict[str, list[str]]:
    """Return the lines of each file that are not empty, as they would stand in the API without waiting."""
    found = {}
    for path in sorted((PACKAGE / room).glob("*.py")):
        text = re.sub(r"\b(?:async|await) |(?<=__)a(?=enter__|exit__)", "", path.read_text("utf-8"))
        found[path.name] = [line.strip() for line in text.splitlines() if line.strip()]
    return found


def in_runs(one: list[str], other: list[str]) -> int:
    """Return how many lines the two have in common, and in the same order, in runs of `RUN` and more."""
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size >= RUN)


def share() -> float:
    """Return the share of the lines of ``aio/`` that stand in ``sync/`` too, in runs of `RUN` and more."""
    sync, written = lines("sync"), lines("aio")
    return sum(in_runs(sync.get(name, []), text) for name, text in written.items()) / sum(map(len, written.values()))


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
    print(f"{share():.0%} in runs of {RUN} lines and more of the file of the same name")
    for common, count, name in sorted(rows, reverse=True):
        print(f"{common:5} of {count:4}  {common / max(count, 1):4.0%}  {name}")


if __name__ == "__main__":
    main()
