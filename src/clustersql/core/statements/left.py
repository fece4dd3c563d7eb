"""What a statement leaves in its session for a later one to ask, and which newer statement takes its place.

Rules
-----
* After a move nothing of it is there: what asks for it is refused until a newer statement has left the same kind on the
  new session.
* What tells about the last statement is renewed by the next one of that kind.  What was *generated* is renewed only by
  what really generates: an INSERT may not, and a procedure may, so that the text tells no more than that it may have
  been.
"""

from __future__ import annotations

from enum import Flag, auto

__all__ = ["EVERYTHING", "LAST", "NOTHING", "Left"]


class Left(Flag):
    """Kinds of what is left.  Their semantics: https://mariadb.com/kb/en/information-functions/"""

    COUNT = auto()
    """How many rows the last statement has changed, whichever it was: ``ROW_COUNT()``."""
    FOUND = auto()
    """How many rows the last query has found: ``FOUND_ROWS()``."""
    WARNINGS = auto()
    """What the server has to say of the last statement that used a table: ``SHOW WARNINGS``."""
    WRITTEN = auto()
    """What the last write is known by, or how much it was: ``wsrep_last_written_gtid()``, SQLite's ``changes()``."""
    GENERATED = auto()
    """The last value that was generated: ``LAST_INSERT_ID()``, ``lastval()``, SQLite's ``last_insert_rowid()``."""


NOTHING = Left(0)

LAST = Left.COUNT | Left.FOUND | Left.WARNINGS
"""What a proven read may leave too."""

EVERYTHING = LAST | Left.WRITTEN | Left.GENERATED
