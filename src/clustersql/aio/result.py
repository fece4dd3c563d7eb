"""The result of one statement, detached from any connection."""

from __future__ import annotations

from typing import Any

from ..result import Result


async def fetched(cursor: Any, raw: Any) -> Result:
    """Fetch everything from ``cursor``, which is the driver's, ``raw``, or ours over it."""
    description = cursor.description
    rows = list(await cursor.fetchall()) if description is not None else []
    return Result(rows, description, cursor.rowcount, getattr(raw, "lastrowid", None))
