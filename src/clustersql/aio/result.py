"""The result of one statement, detached from any connection."""

from __future__ import annotations

from ..result import Result
from .cursor import Cursor


async def fetched(cursor: Cursor) -> Result:
    """Fetch everything from ``cursor``."""
    description = cursor.description
    rows = list(await cursor.fetchall()) if description is not None else []
    return Result(rows, description, cursor.rowcount, getattr(cursor._raw, "lastrowid", None))
