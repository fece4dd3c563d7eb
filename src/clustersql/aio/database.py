"""The database: a cluster's pools with a face, one pool for each event loop."""

from __future__ import annotations

from asyncio import current_task
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from ..config.knobs import check_seconds
from ..config.options import PER_CALL
from ..connection.database import BaseDatabase
from ..connection.functions import check_async
from ..connection.once import claimed
from ..connection.result import Result
from ..connection.running import Running
from ..connection.settling import asked_for, told
from ..connection.statements import UNSET
from ..core.causal.bookmark import text_of
from ..core.policies.choice import Route
from ..pool.counts import unused
from ..pool.routes import rehearsed
from .causal import bookmark
from .checkout import Checkout
from .connection import Connection
from .guard import require, write
from .run import run
from .settle import settle
from .single import at_once, executed, in_full, known

if TYPE_CHECKING:
    from ..connection.statements import StatementCache
    from ..nodes.topology import Topology
    from .pool import Pool

_NOTHING = (None,) * len(PER_CALL)

P = ParamSpec("P")
T = TypeVar("T")


class PoolSource(Protocol):
    """What a database asks of its cluster, which gives each event loop a pool of its own."""

    _topology: Topology
    _notes: StatementCache
    _closed: bool
    name: str

    def _make_async_pool(self) -> Pool:
        """Return the pool of the running event loop."""

    def _seen_async_pool(self) -> Pool | None:
        """Return the pool of the running event loop, or the one there is; None: there is none."""


class Database(BaseDatabase):
    """A pooled way into a cluster for asyncio.  `options` gives a view of it with other settings; in one event loop all
    share one pool.

    It is bound to no loop: each loop in which it is used has a pool of its own.
    """

    __slots__ = ("_cluster", "_last")

    def __init__(
        self,
        cluster: PoolSource,
        given: Mapping[str, Any] = MappingProxyType({}),
        last: list[Pool] | None = None,
    ) -> None:
        """``given``: the options that the caller has set; the others are the cluster's, as they are now.

        ``last``: the pool that was used last, shared by all views: it keeps that pool alive, and once closed, closed
        for all.
        """
        self._cluster = cluster
        self._last: list[Pool] = [] if last is None else last
        super().__init__(cluster._topology, given)

    def _like(self, given: Mapping[str, Any]) -> Self:
        return type(self)(self._cluster, given, self._last)

    @property
    def bookmark(self) -> Awaitable[str]:
        """Await it for what this view has written and read, as a text for a cookie, a header or a job; "": nothing yet.

        Raises `CausalityLost` where that cannot be told any more, and `ConfigError` where `causal` has not made this
        view.
        """
        return self._bookmark()

    async def _bookmark(self) -> str:
        pool = self._pool()
        return text_of(await bookmark(pool, *self._remembered(pool)))

    def connection(
        self,
        *,
        timeout: float | None = None,
        read_only: bool | None = None,
        node: str | None = None,
        role: str | None = None,
        move: bool | None = None,
        max_lag: float | str | None = None,
    ) -> Checkout:
        """Check a connection out: ``async with db.connection() as conn``.  Commit on success, roll back on an error,
        give it back.

        ``timeout``: seconds to wait for it.  The others are as for `options`.  Raises `NoNodeAvailable`, `PoolTimeout`,
        `PoolClosed`.
        """
        if self._knobs is not self._topology.settings:
            self._look()
        options, want = self._options, self._want
        if (timeout, read_only, node, role, move, max_lag) != _NOTHING:
            options, want = self._calls.options(timeout, read_only, node, role, move, max_lag)
        return Connection.acquired(self._pool(), options, want, self._cluster._notes)

    async def execute(self, operation: Any, parameters: Any = UNSET, /, **driver_options: Any) -> Result:
        """Run one statement in autocommit mode and return its `Result`; the connection is back in the pool by then.

        Raises the driver's errors, `OutcomeUnknown`, `NoNodeAvailable` or `PoolTimeout`.
        """
        if self._knobs is not self._topology.settings:
            self._look()
        pool, notes = self._pool(), self._cluster._notes
        if self._known is None:
            self._known = known(pool, self._options, self._single, notes)
        if operation.__class__ is str and operation in self._known and not driver_options:
            return await at_once(pool, self._options, self._single, notes, operation, parameters)
        connection = await Connection.acquired(pool, self._options, self._single, notes, deadline=self._deadline())
        return await in_full(connection, executed, operation, parameters, driver_options)

    def route(self) -> Route:
        """Return which node a checkout would get now with these options, and why; nothing is checked out, and no server
        is asked.  Call it in a running loop.

        Its ``node`` is "" where none can serve.  Until the first probe has been answered no node is known.
        """
        self._look()
        return rehearsed(self._pool(), self._want)

    async def run(
        self, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Await ``function(conn, *args, **kwargs)`` in a transaction, commit, and return its value.

        **Your function may run more than once**: it is called again, in a new transaction, when the former provably did
        not happen.  So it must have no effect but on ``conn``; use ``conn.on_commit(fn)`` for what must follow the
        commit, and ``conn.attempt`` to count. A function that commits by itself is not called again.  Raises what it
        raises, the driver's errors, and `OutcomeUnknown`.
        """
        check_async(function, "db.run()")
        if self._knobs is not self._topology.settings:
            self._look()
        pool, notes, deadline = self._pool(), self._cluster._notes, self._deadline()

        def connect() -> Checkout:
            return Connection.acquired(pool, self._options, self._want, notes, depth=4, deadline=deadline)

        with Running(pool, current_task(), self._cluster.name):
            return await run(connect, function, args, kwargs)

    async def once(
        self, key: str, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`, once and only once for ``key``, a text of at most 200 characters: whoever comes with the same one
        waits, and then learns it.

        The key is written first in the transaction, so it is there if, and only if, the work is.  It is kept for
        ``options(keep=)`` seconds by the server's clock, and may then be worked on anew.  What the function returned is
        not kept.  Needs the knob ``commit_guard``. Raises what `run` does, `AlreadyCommitted` where the work of this
        key was committed before, and `ConfigError`.
        """
        check_async(function, "db.once()")
        if self._knobs is not self._topology.settings:
            self._look()
        claim = claimed(self._topology, key, self._options)
        pool, notes, deadline = self._pool(), self._cluster._notes, self._deadline()

        def connect() -> Checkout:
            return Connection.acquired(pool, self._options, self._want, notes, depth=4, deadline=deadline)

        async def work(conn: Connection) -> T:
            await write(conn, claim)
            return await function(conn, *args, **kwargs)

        with Running(pool, current_task(), self._cluster.name):
            return await run(connect, work, (), {})

    async def settle(self, commit_id: str, *, timeout: float | None = None) -> str:
        """Settle what became of a COMMIT, by its id: "committed" or "void".  Any process may ask, of the same database,
        within 3.5 days.

        It *settles*: a transaction that has not committed by now never will, so ask when nobody works on it any more.
        ``commit_id``: of `OutcomeUnknown`, or of a connection in advance.  ``timeout``: seconds; by default the
        cluster's.  Raises `OutcomeUnknown` where no primary answers in time, and `ConfigError` for what is no id, too
        old, or of another database or table.
        """
        pool, topology = self._pool(), self._topology
        asked, want, fence, deadline = asked_for(topology, commit_id, timeout)
        found = await settle(pool, want, fence, None, deadline, asked)
        return told(topology, asked, found, pool.driver.operational_error)

    def _pool(self) -> Pool:
        """Return the pool of the running event loop."""
        for pool in self._last:
            if pool.is_here():
                return pool
        pool = self._cluster._make_async_pool()
        self._last[:] = [pool]
        return pool

    async def close(self, timeout: float | None = None) -> None:
        """Close the pool of this event loop: idle connections now, the others when they are given back.  Twice does no
        harm.

        ``timeout``: for how many seconds at most to wait before that for those that are in use, while nobody gets
        another one; None: not at all.  Raises `ConfigError` for a timeout that is none.
        """
        check_seconds("close(): timeout", timeout)
        pool = self._pool()
        await pool.finish(timeout)
        await pool.aclose()

    @property
    def closed(self) -> bool:
        """Whether the pool of this event loop was closed."""
        pool = self._cluster._seen_async_pool()
        return self._cluster._closed if pool is None else pool.closed

    def stats(self) -> dict[str, Any]:
        """Return the pool's sizes: ``size``, ``max_size``, ``idle``, ``in_flight``, ``waiting``, and per node under
        ``nodes``.
        """
        pool = self._cluster._seen_async_pool()
        return unused(self._topology) if pool is None else pool.stats()

    async def __aenter__(self) -> Database:
        if self._topology.settings.commit_guard_required:
            await require(self._pool())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<clustersql.aio.Database {self._cluster.name!r}{f': {self._last[0].words()}' if self._last else ''}>"
