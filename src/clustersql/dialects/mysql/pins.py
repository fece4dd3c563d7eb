"""Why statements of MySQL and MariaDB keep their connection where it is, beside what `core.statements.pins` says of any
database's.
"""

from __future__ import annotations

from ...core.statements.pins import CURSOR, LOCK, ONLY_HERE

WHY_LEADING = {
    "unlock": LOCK,
    "flush": LOCK,
    "backup": LOCK,
    "xa": "a distributed transaction",
    "handler": CURSOR,
}
WHY_CALLED = (
    ("last_insert_id", ONLY_HERE),
    ("found_rows", ONLY_HERE),
)
