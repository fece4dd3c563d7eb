"""Which function ``run`` is calling now, and where; and what cannot be such a function.  Shared by both APIs.

Rules
-----
1. Inside the function itself another ``run`` of the same cluster is refused: its transaction would be another one.
2. A thread, a greenlet or a task that the function has started only inherits the context: what it does is no part of
   the function.  Neither is what follows the commit, nor what still has the context when ``run`` is long over.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import Any

from ..errors import ConfigError


class Running:
    """One call of ``run``, entered for as long as its function may be called."""

    __slots__ = ("_cluster", "_token", "owner", "pool")

    def __init__(self, pool: object, owner: object, cluster: str) -> None:
        self.pool = id(pool)
        """The pool whose connections it is given, by its ``id``: a context may be kept for ever, and must not keep a
        pool.
        """
        self.owner: object = owner
        """The thread and greenlet, or the task, in which it is called; None: it is over."""
        self._cluster = cluster
        self._token: Any = None

    def __enter__(self) -> None:
        around = _running.get()
        if around:
            self._refuse_inside(around)
        self._token = _running.set((*around, self))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.owner = None
        # Not by `contextlib.suppress`, which costs more than all else here.
        try:  # noqa: SIM105
            _running.reset(self._token)
        except ValueError:  # a coroutine that is thrown away is closed in whichever context
            pass

    def forget(self) -> None:
        """It is over, whatever broke into its begin or its end: else every later ``run`` of this thread would be one
        inside it.
        """
        self.owner = None
        around = _running.get()
        if self in around:
            _running.set(tuple(one for one in around if one is not self))

    def _refuse_inside(self, around: tuple[Running, ...]) -> None:
        if any(one.pool == self.pool and one.owner is not None and one.owner == self.owner for one in around):
            raise ConfigError(
                f"db.run() of cluster {self._cluster!r} is called inside db.run(): use the connection that your "
                "function was given"
            )


_running: ContextVar[tuple[Running, ...]] = ContextVar("clustersql_running", default=())


def here() -> object:
    """Return what tells this thread from others, and this greenlet from others of its thread, for as long as it
    lives.
    """
    greenlet = sys.modules.get("greenlet")
    return get_ident(), None if greenlet is None else greenlet.getcurrent()


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Call what follows a commit as if no ``run`` was called: a transaction that it begins is no part of the one that
    has ended.
    """
    token = _running.set(())
    try:
        yield
    finally:
        _running.reset(token)
