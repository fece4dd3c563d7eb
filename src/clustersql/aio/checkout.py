"""What ``db.connection()`` returns: it can be awaited and entered, and costs no task."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Connection


class Checkout:
    """A connection to come: ``async with db.connection() as conn``, or ``conn = await db.connection()``."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __await__(self) -> Generator[Any, Any, Connection]:
        yield from self._connection._begin().__await__()
        return self._connection

    async def __aenter__(self) -> Connection:
        await self._connection._begin()
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        await self._connection.__aexit__(kind, *details)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r}: a connection to come has none; await it, or enter it with `async with`")

    def __repr__(self) -> str:
        return f"<clustersql.aio.Checkout of {self._connection!r}>"
