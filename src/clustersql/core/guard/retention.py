"""How long a token's row stays: seconds by the server's clock."""

from __future__ import annotations

__all__ = ["ASKED_FOR", "BATCH", "KEPT", "SWEEP"]

KEPT = 7 * 86_400.0
"""Rows that nobody has deleted: of a COMMIT that was not acknowledged, one that was made void, one whose id was given
out beforehand."""
ASKED_FOR = KEPT / 2
"""How old an id may be that is settled: half of that, so that no clock's error can turn a row that was deleted into
"void"."""
BATCH = 1_000
"""Acknowledged tokens that are deleted by one statement at most: some 8 us each on the server."""
SWEEP = 3_600.0
"""Seconds between two looks of one process for rows that are older than `KEPT`."""
