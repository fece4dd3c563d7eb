"""MySQL's sets of GTIDs, as ``gtid_executed`` tells them.

``UUID[:TAG][:FIRST[-LAST]]...``, separated by commas:
https://dev.mysql.com/doc/refman/9.5/en/replication-gtids-concepts.html
"""

from __future__ import annotations

import re
from collections import defaultdict

from ...core.view.position import Interval, Transactions

_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")


def gtid_set(told: str) -> Transactions:
    """Return the set that the text tells.  Raises ValueError where it is none.

    >>> len(gtid_set("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:11:47-49"))
    7
    """
    made: dict[str, list[Interval]] = defaultdict(list)
    for part in filter(None, (part.strip() for part in told.split(","))):
        uuid, *rest = part.lower().split(":")
        maker = uuid
        for word in rest:
            if found := _NUMBERS.fullmatch(word):
                made[maker].append((int(found[1]), int(found[2] or found[1])))
            elif re.fullmatch(r"[a-z_]\w*", word):
                maker = f"{uuid}:{word}"
            else:
                raise ValueError(f"no set of GTIDs: {told[:200]!r}")
    return Transactions(tuple((maker, _joined(intervals)) for maker, intervals in sorted(made.items())))


def _joined(intervals: list[Interval]) -> tuple[Interval, ...]:
    """Neighbours become one, as the server tells them; ours must not rest on that."""
    joined: list[Interval] = []
    for first, last in sorted(intervals):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)
