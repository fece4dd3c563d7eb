"""The result of one statement, detached from any connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..pool.routes import told

if TYPE_CHECKING:
    from ..core.policies.choice import Route
    from ..pool.base import BasePool
    from ..pool.routes import Left
    from .state import State


class Result:
    """All rows of one statement, fetched already.  ``description``, ``rowcount`` and ``lastrowid`` are the driver's
    (PEP 249).
    """

    __slots__ = ("_left", "_next", "_rows", "description", "lastrowid", "rowcount")

    def __init__(self, rows: list[Any], description: Any, rowcount: int, lastrowid: Any) -> None:
        self._rows = rows
        self._next = 0
        # Who served it: the pool, the handle's state, and what its checkout has left behind; None: nobody has said.
        self._left: tuple[BasePool[Any], State, Left] | None = None
        self.description = description
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    @classmethod
    def of(cls, raw: Any) -> Result:
        """Fetch everything from a driver's cursor of PEP 249."""
        description = raw.description
        rows = list(raw.fetchall()) if description is not None else []
        return cls(rows, description, raw.rowcount, getattr(raw, "lastrowid", None))

    @property
    def route(self) -> Route | None:
        """Why the node that served it did, as `Connection.route`; None: it is a copy, or was not made by
        `Database.execute`.
        """
        if self._left is None:
            return None
        pool, state, left = self._left
        return told(pool, state.want, left, state.moves, state.recoveries)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """A copy has the rows, and leaves out who served them: that belongs to this process."""
        return None, {name: getattr(self, name) for name in self.__slots__} | {"_left": None}

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Return the next ``size`` rows, or fewer."""
        start, self._next = self._next, min(self._next + size, len(self._rows))
        return self._rows[start : self._next]

    def fetchall(self) -> list[Any]:
        """Return all rows that were not fetched yet."""
        start, self._next = self._next, len(self._rows)
        return self._rows[start:]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<clustersql.Result: {len(self._rows)} rows, rowcount {self.rowcount}>"
