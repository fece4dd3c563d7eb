"""The database: a cluster's pool with a face.  One per cluster, shared by all threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ..config.knobs import check_seconds
from ..connection.database import BaseDatabase
from ..connection.functions import check_plain
from ..connection.once import claimed
from ..connection.result import Result
from ..connection.running import Running, here
from ..connection.settling import asked_for, told
from ..connection.statements import UNSET, StatementCache
from ..core.causal.bookmark import text_of
from ..core.policies.choice import Route
from ..pool.routes import rehearsed
from .causal import bookmark
from .connection import Connection
from .guard import write
from .pool import Pool
from .run import run
from .settle import settle
from .single import at_once, executed, in_full, known

P = ParamSpec("P")
T = TypeVar("T")


class Database(BaseDatabase):
    """A pooled, thread-safe way into a cluster.  `options` gives a view of it with other settings; all views share one
    pool.
    """

    __slots__ = ("_notes", "_pool")

    _known: Set[Any]

    def __init__(self, pool: Pool, notes: StatementCache, given: Mapping[str, Any] = MappingProxyType({})) -> None:
        """``given``: the options that the caller has set; the others are the cluster's, as they are now."""
        self._pool = pool
        self._notes = notes
        super().__init__(pool.topology, given)

    def _like(self, given: Mapping[str, Any]) -> Self:
        return type(self)(self._pool, self._notes, given)

    def _learn(self) -> None:
        self._known = known(self._pool, self._options, self._single, self._notes)

    @property
    def bookmark(self) -> str:
        """What this view has written and read, as a text for a cookie, a header or a job; "": nothing yet.

        Where something was written since it was told last, the primary is asked.  Raises `CausalityLost` where that
        cannot be told any more, and `ConfigError` where `causal` has not made this view.
        """
        return text_of(bookmark(self._pool, *self._remembered(self._pool)))

    def connection(
        self,
        *,
        timeout: float | None = None,
        read_only: bool | None = None,
        node: str | None = None,
        role: str | None = None,
        move: bool | None = None,
        max_lag: float | str | None = None,
    ) -> Connection:
        """Check a connection out.  Use it with ``with``: commit on success, roll back on an error, give it back.

        ``timeout``: seconds to wait for it.  The others are as for `options`.  Raises `NoNodeAvailable`, `PoolTimeout`,
        `PoolClosed`.
        """
        if self._knobs is not self._topology.settings:
            self._look()
        options, want = self._options, self._want
        if (
            timeout is not None
            or read_only is not None
            or node is not None
            or role is not None
            or move is not None
            or max_lag is not None
        ):
            options, want = self._calls.options(timeout, read_only, node, role, move, max_lag)
        return Connection(self._pool, options, want, self._notes)

    def execute(self, operation: Any, parameters: Any = UNSET, /, **driver_options: Any) -> Result:
        """Run one statement in autocommit mode and return its `Result`; the connection is back in the pool by then.

        Raises the driver's errors, `OutcomeUnknown`, `NoNodeAvailable` or `PoolTimeout`.
        """
        if self._knobs is not self._topology.settings:
            self._look()
        if operation.__class__ is str and operation in self._known and not driver_options:
            return at_once(self._pool, self._options, self._single, self._notes, operation, parameters)
        connection = Connection(self._pool, self._options, self._single, self._notes, deadline=self._deadline())
        return in_full(connection, executed, operation, parameters, driver_options)

    def route(self) -> Route:
        """Return which node a checkout would get now with these options, and why; nothing is checked out, and no server
        is asked.

        Its ``node`` is "" where none can serve.  Until the first probe has been answered no node is known.
        """
        self._look()
        return rehearsed(self._pool, self._want)

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function(conn, *args, **kwargs)`` in a transaction, commit, and return its value.

        **Your function may run more than once**: it is called again, in a new transaction, when the former provably did
        not happen.  So it must have no effect but on ``conn``; use ``conn.on_commit(fn)`` for what must follow the
        commit, and ``conn.attempt`` to count. A function that commits by itself is not called again.  Raises what it
        raises, the driver's errors, and `OutcomeUnknown`.
        """
        check_plain(function, "db.run()", "give a plain function, or use clustersql.aio")
        if self._knobs is not self._topology.settings:
            self._look()
        deadline = self._deadline()

        def connect() -> Connection:
            return Connection(self._pool, self._options, self._want, self._notes, depth=4, deadline=deadline)

        running = Running(self._pool, here(), self._topology.name)
        try:
            with running:
                return run(connect, function, args, kwargs)
        except BaseException:  # the handler of a signal may have raised in the begin or the end of that `with`
            running.forget()
            raise

    def once(self, key: str, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, once and only once for ``key``, a text of at most 200 characters: whoever comes with the same one
        waits, and then learns it.

        The key is written first in the transaction, so it is there if, and only if, the work is.  It is kept for
        ``options(keep=)`` seconds by the server's clock, and may then be worked on anew.  What the function returned is
        not kept.  Needs the knob ``commit_guard``. Raises what `run` does, `AlreadyCommitted` where the work of this
        key was committed before, and `ConfigError`.
        """
        check_plain(function, "db.once()", "give a plain function, or use clustersql.aio")
        if self._knobs is not self._topology.settings:
            self._look()
        claim = claimed(self._topology, key, self._options)
        deadline = self._deadline()

        def connect() -> Connection:
            return Connection(self._pool, self._options, self._want, self._notes, depth=4, deadline=deadline)

        def work(conn: Connection) -> T:
            write(conn, claim)
            return function(conn, *args, **kwargs)

        running = Running(self._pool, here(), self._topology.name)
        try:
            with running:
                return run(connect, work, (), {})
        except BaseException:  # as in `run`
            running.forget()
            raise

    def settle(self, commit_id: str, *, timeout: float | None = None) -> str:
        """Settle what became of a COMMIT, by its id: "committed" or "void".  Any process may ask, of the same database,
        within 3.5 days.

        It *settles*: a transaction that has not committed by now never will, so ask when nobody works on it any more.
        ``commit_id``: of `OutcomeUnknown`, or of a connection in advance.  ``timeout``: seconds; by default the
        cluster's.  Raises `OutcomeUnknown` where no primary answers in time, and `ConfigError` for what is no id, too
        old, or of another database or table.
        """
        topology = self._topology
        asked, want, fence, deadline = asked_for(topology, commit_id, timeout)
        found = settle(self._pool, want, fence, None, deadline, asked)
        return told(topology, asked, found, self._pool.driver.operational_error)

    def close(self, timeout: float | None = None) -> None:
        """Close the pool: idle connections now, the others when they are given back.  Twice does no harm.

        ``timeout``: for how many seconds at most to wait before that for those that are in use, while nobody gets
        another one; None: not at all.  Raises `ConfigError` for a timeout that is none.
        """
        check_seconds("close(): timeout", timeout)
        self._pool.finish(timeout)
        self._pool.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._pool.closed

    def stats(self) -> dict[str, Any]:
        """Return the pool's sizes: ``size``, ``max_size``, ``idle``, ``in_flight``, ``waiting``, and per node under
        ``nodes``.
        """
        return self._pool.stats()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<clustersql.Database {self._topology.name!r}: {self._pool.words()}>"
