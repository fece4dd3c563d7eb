"""Why statements of PostgreSQL keep their connection where it is, beside what `core.statements.pins` says of any
database's.
"""

from __future__ import annotations

from ...core.statements.pins import NOT_RESTORED, ONLY_HERE

WHY_LEADING = {
    "listen": "notifications come to this session only",
    "load": "a library stays in its session",
    "discard": "what it leaves is not known",
}
WHY_CALLED = (
    ("set_config", NOT_RESTORED),
    ("currval", ONLY_HERE),
)
