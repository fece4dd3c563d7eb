"""The asyncio API: the same names and guarantees as `clustersql`, awaited.

>>> from clustersql import aio
>>> aio.open  # doctest: +ELLIPSIS
<function open at ...>
"""

from __future__ import annotations

from typing import Any

from ..registry import get
from .checkout import Checkout
from .connection import Connection
from .cursor import Cursor
from .database import Database

__all__ = ["Checkout", "Connection", "Cursor", "Database", "connect", "open"]


def open(name: str, dsn: object = None, /) -> Database:
    """Return the `Database` of the cluster called ``name``, whose pool is that of the event loop it is used in.

    ``dsn`` is ignored: the cluster knows its nodes.  May be called without a running loop.  Raises `ConfigError`.
    """
    return get(name).aopen()


def connect(name: str, /, **arguments: Any) -> Checkout:
    """Await or enter it for a connection to the cluster called ``name``, outside its pool; ``arguments`` are the
    driver's own.
    """
    return get(name).aconnect(**arguments)
