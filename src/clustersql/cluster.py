"""The cluster: named nodes behind one driver.  Also a PEP 249 module object, so that it can stand where the driver's
module stood.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from . import fork
from .config.address import Address
from .config.checks import report
from .config.dsn import check_family, parse, several
from .config.knobs import BALANCING, changed, check_seconds, settings, unused
from .config.options import Options, check_options
from .config.pooler import check as check_via
from .config.zones import node_zone
from .connection.functions import check_plain
from .connection.statements import StatementCache
from .core.booking.durations import Durations
from .core.recovery.observed import DURING, During, Observed
from .dialects import by_name
from .drivers import asyncio_of, load_async
from .drivers import load as load_driver
from .errors import ConfigError
from .nodes.members import check_discovery
from .nodes.reread import after as after_reading
from .nodes.reread import listing, taken
from .nodes.topology import Topology
from .pool.outside import OutsideConnections
from .pool.uses import Uses
from .reports.figures import measured
from .reports.snapshot import snapshot
from .sync.entangled import apart

if TYPE_CHECKING:
    from .aio.checkout import Checkout
    from .aio.database import Database as AsyncDatabase
    from .aio.pool import Pool as AsyncPool
    from .config.knobs import Knobs
    from .config.reread import Changes, Reading
    from .core.view.use import Claim
    from .core.view.view import View
    from .drivers.contract import AnyDriver, AsyncDriver, Driver
    from .nodes.events import ClusterEvent
    from .reports.values import Snapshot
    from .sync.connection import Connection
    from .sync.database import Database
    from .sync.pool import Pool

R = TypeVar("R", bound="AnyDriver")


class Cluster:
    """Nodes that hold the same database, reached through one driver, or one for threads and one for asyncio.
    Thread-safe.

    ``name`` is what `clustersql.register` files it under.  ``driver`` is a PEP 249 module, its name, or an adapter;
    ``async_driver`` the same for `clustersql.aio`, where it is needed unless ``driver`` serves both (psycopg); at least
    one must be given.  ``knobs`` are described in the reference; a mistake in any of them raises one `ConfigError`
    naming all.

    What PEP 249 asks of a module (``apilevel``, ``paramstyle``, ``threadsafety``, the exception classes, type objects
    and constructors) is the driver's, and so is everything else that the driver's module has.
    """

    def __init__(
        self,
        name: str,
        *,
        driver: str | ModuleType | Driver | None = None,
        async_driver: str | ModuleType | AsyncDriver | None = None,
        **knobs: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a cluster's name must be a text that is not empty, not {name!r}")
        if driver is None and async_driver is None:
            raise ConfigError(f"cluster {name!r}: give driver=, async_driver=, or both")
        self.name = name
        self.async_driver = async_driver
        begun = settings(**knobs)
        # Loaded when asyncio is first used: a service for threads may not have it.
        self._async_adapter: AsyncDriver | None = None
        self._dialect = begun.dialect
        self.driver: Driver | None = self._in_dialect(load_driver(driver)) if driver is not None else None
        self._reading: AnyDriver = self.driver or self._load_async()
        self._topology = Topology(name, self._reading, begun)
        self._topology.check(self._options)
        check_discovery(name, begun.discover, self._reading.dialect)
        self._notes = StatementCache(self._reading.dialect.rules)
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        # By the id of the event loop, which holds its pool while it runs: see `aio.monitor`.
        self._async_pools: WeakValueDictionary[int, AsyncPool] = WeakValueDictionary()
        self._dialled = OutsideConnections(self._topology)
        self._uses = Uses(name)
        self._measuring: set[object] = set()
        self._closed = False
        self._read: Reading | None = None
        fork.track(self)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def add_node(self, name: str, dsn: str | None = None, /, **fields: Any) -> None:
        """Add a node, while traffic runs if need be.

        ``dsn`` is a URL (``mysql://user:password@host:port/database``) or the driver's own connection string.
        ``fields`` are ``host``, ``port``, ``user``, ``password`` (a text, or a function that is called at every dial),
        ``user_file``, ``password_file``, ``credentials`` (in place of both: ``provider(node, refused)``, called at
        every dial, returns `clustersql.Credentials`), ``database``, ``unix_socket``, ``via`` (what stands before the
        server: "pgbouncer-transaction"), ``weight`` and ``priority`` (for the policies of these names), ``zone``, and
        any further argument of the driver's ``connect``; they win over ``dsn``.  Raises `ConfigError`.
        """
        self._add(parse(name, dsn, fields))

    def add_nodes(self, url: str, /, **fields: Any) -> None:
        """Add a node for each host of a URL with several, in the form of libpq:
        ``postgresql://user:password@a,b:5433/database``.

        Each node has its host's name, with the port where a host is named twice; a comma in a user or password is
        written %2C.  ``fields`` are as for `add_node`, of each of them.  Raises `ConfigError`; then none was added.
        """
        addresses = [parse(name, text, fields) for name, text in several(url).items()]
        for address in addresses:
            self._check(address)
            if address.node in self._topology.addresses:
                raise ConfigError(
                    f"cluster {self.name!r} has a node {address.node!r} already; remove_node({address.node!r}) it first"
                )
        for address in addresses:
            self._topology.add(address.node, address)

    def _add(self, address: Address) -> None:
        self._check(address)
        self._topology.add(address.node, address)

    def _check(self, address: Address) -> None:
        self._check_dialled(address)
        given, knobs = [key for key in BALANCING if getattr(address, key) is not None], self._topology.settings
        if found := [f"node {address.node!r}: {key}: {what}" for key, what in unused(knobs.policy, given, knobs.zone)]:
            raise report(f"node {address.node!r}", found)

    def _check_dialled(self, address: Address) -> None:
        check_family(address.node, address, self._reading.family, self._reading.name)
        check_via(address, self._reading.name, self._reading.abilities.shared)
        node_zone(address)

    def remove_node(self, name: str) -> None:
        """Take a node out: it gets no new work and its idle connections are closed; work in progress there ends
        normally.

        Raises `ConfigError` when there is no such node.
        """
        self._topology.remove(name)

    def drain(self, name: str, grace: float | None = None) -> None:
        """Give a node no new work, before its server is stopped; work in progress there ends by itself, and its
        connections are closed.

        ``grace``: seconds after which the connections that are still in use there are ended; what they were doing is
        then recovered as after any lost connection.  None: never by us.  Returns at once; `snapshot` tells how many are
        left.  Raises `ConfigError`.
        """
        check_seconds("grace", grace)
        self._topology.drain(name, True, grace)

    def undrain(self, name: str) -> None:
        """Give a drained node work again.  Raises `ConfigError` when there is no such node."""
        self._topology.drain(name, False)

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes, sorted; those that were discovered too."""
        return sorted(self._topology.nodes)

    @property
    def view(self) -> View:
        """What is believed of the nodes now: an immutable value (`clustersql.core.view.view.View`)."""
        return self._topology.view

    # -- use -----------------------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        arguments: Mapping[str, Any] | None = None,
        on_connect: Callable[[Any], object] | None = None,
    ) -> Database:
        """Return the cluster's `Database`: pooled, thread-safe, shared by all who call this.

        ``arguments``: further ones of the driver's ``connect``, which win over the node's but for address and
        credentials.  ``on_connect``: called with each new connection of the driver's, after the cluster's own, and
        after each reset.  Sessions made with either go to those only who have given equal arguments and the same
        function.  All count in one ``max_size``, and `close` closes all.  At most 8 such combinations may be in use at
        a time.  Raises `ConfigError`.
        """
        from .sync.database import Database

        self._require_nodes()
        self._require_shareable(arguments)
        if on_connect is not None:
            check_plain(on_connect, "open()", "give a plain function as on_connect, or use clustersql.aio")
        pool = self._make_pool()
        if self._topology.settings.commit_guard_required and not pool.closed:
            from .sync.guard import require

            require(pool)
        return Database(pool, self._notes, self._claimed(arguments, on_connect))

    def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Return a PEP 249 connection outside the pool.  Arguments are the driver's own and win; node and credentials
        come from the cluster.

        Raises `NoNodeAvailable`.  A driver that takes its connection string by position has it replaced by the node's.
        """
        from .sync.connection import Connection

        self._require_nodes()
        self._no_positions(args)
        options = self._options
        return Connection(self._make_pool(), options, options.want(autocommit=False), self._notes, kwargs)

    def aopen(
        self,
        *,
        arguments: Mapping[str, Any] | None = None,
        on_connect: Callable[[Any], object] | None = None,
    ) -> AsyncDatabase:
        """Return the cluster's asyncio `Database`: `clustersql.aio.open` by the cluster's name.  May be called without
        a running loop.

        ``arguments`` and ``on_connect`` are as for `open`; what ``on_connect`` returns is awaited where it can be.
        """
        from .aio.database import Database

        self._require_nodes()
        self._load_async()
        return Database(self, self._claimed(arguments, on_connect))

    def aconnect(self, *args: Any, **kwargs: Any) -> Checkout:
        """Await or enter it, ``async with``, for an asyncio connection outside the pool; arguments and errors as for
        `connect`.
        """
        from .aio.connection import Connection

        self._require_nodes()
        self._no_positions(args)
        options = self._options
        want = options.want(autocommit=False)
        return Connection.acquired(self._make_async_pool(), options, want, self._notes, kwargs)

    def dial(
        self,
        *,
        read_only: bool = False,
        node: str | None = None,
        role: str | None = None,
        timeout: float | None = None,
        max_lag: float | str | None = None,
        after: str | None = None,
        **arguments: Any,
    ) -> Any:
        """Return the driver's own connection, from the best node, for frameworks that have a pool of their own.

        ``read_only``: from any ready node, or one of ``read_role``, and the session is read-only.  ``timeout``: seconds
        in all.  ``role``, ``max_lag`` and ``after``: as among the options.  Further arguments are the driver's.  The
        connection is remembered weakly, for `is_current` and `observe`.  Raises `NoNodeAvailable`.
        """
        self._require_nodes()
        options = self._options.changed(
            read_only=read_only or None, node=node, role=role, timeout=timeout, max_lag=max_lag, after=after
        )
        self._topology.check(options)
        wait = self._topology.settings.timeout if options.timeout is None else options.timeout
        return self._make_pool().dial(self._dialled, options.want(autocommit=False), wait, arguments)

    async def adial(
        self,
        *,
        read_only: bool = False,
        node: str | None = None,
        role: str | None = None,
        timeout: float | None = None,
        max_lag: float | str | None = None,
        after: str | None = None,
        **arguments: Any,
    ) -> Any:
        """Return the asyncio driver's own connection, from the best node; arguments and errors as for `dial`."""
        self._require_nodes()
        options = self._options.changed(
            read_only=read_only or None, node=node, role=role, timeout=timeout, max_lag=max_lag, after=after
        )
        self._topology.check(options)
        wait = self._topology.settings.timeout if options.timeout is None else options.timeout
        pool = self._make_async_pool()
        return await pool.dial(self._dialled, options.want(autocommit=False), wait, arguments)

    def is_current(self, raw: Any) -> bool:
        """Tell, without I/O, whether a connection from `dial` or `adial` is still good for what it was dialled for.

        Its node must still be there, with the role that was asked for, and in the generation it was dialled in.
        """
        return self._dialled.is_current(raw)

    def observe(self, raw: Any, error: BaseException, *, during: During = "autocommit") -> Observed:
        """Tell the cluster of an error that a framework met on a connection from `dial` or `adial`.

        ``during``: what was under way: a statement that stands alone ("autocommit"), one inside a "transaction", or its
        "commit".  Returns whether the connection is lost, and what has become of the work
        (`clustersql.core.recovery.observed.Observed`): of a connection that is not known here, nothing.  Raises
        `ConfigError` for another ``during``.
        """
        if during not in DURING:
            raise ConfigError(f"observe(): during must be one of {', '.join(DURING)}, not {during!r}")
        return self._dialled.observe(raw, error, during)

    def snapshot(self) -> Snapshot:
        """Return everything that is known now: an immutable value, with ``as_dict()`` ready for JSON.

        What each node may serve, and on which axis, since when and why it is kept out of work; the pools, who waits and
        who holds a connection; the retries, the members, the knobs.  Takes no lock, and no password is in it.  The
        names are in the reference.
        """
        return snapshot(self._topology, [(api, pool.told()) for api, pool in self._pools()])

    def events(self) -> tuple[ClusterEvent, ...]:
        """Return the last 1,000 events, the latest last: changes of nodes, failed dials, long waits, recoveries,
        outcomes.
        """
        return self._topology.events.latest()

    def on_event(self, function: Callable[[ClusterEvent], object]) -> Callable[[], None]:
        """Call ``function`` with each event from now on, in whatever thread it happens: it must be quick, and wait for
        nothing.

        Returns a function that ends this.  What ``function`` raises is logged once, and harms nothing.
        """
        return self._topology.events.on_event(function)

    def measure(self) -> Callable[[], None]:
        """Count from now on how long dials, waits, uses and statements take: `metrics` has the histograms, under
        ``Durations``.

        It costs a fraction of a microsecond per statement, and nothing where nobody asks; the exporters ask by
        themselves.  Returns a function that ends this; twice does no harm, and the counts go with the last who asked.
        """
        token = object()
        self._measure(token, True)
        return lambda: self._measure(token, False)

    def _measure(self, token: object, asks: bool) -> None:
        with self._lock:  # no pool is made meanwhile
            (self._measuring.add if asks else self._measuring.discard)(token)
            topology = self._topology
            topology.durations = (topology.durations or Durations()) if self._measuring else None
            for _, pool in self._pools():
                pool.measure()

    def metrics(self) -> dict[str, Any]:
        """Return the cluster's figures, ready for JSON; the names are in the reference."""
        return measured(self._topology, [pool.stats() for _, pool in self._pools()])

    def close(self, timeout: float | None = None) -> None:
        """Close the pool of `open`.  Connections that are in use are closed when they are given back.  Twice does no
        harm.

        ``timeout``: for how many seconds at most to wait before that for those that are in use, while nobody gets
        another one; None: not at all.  A pool of `clustersql.aio` belongs to its event loop, and is closed there:
        ``await db.close()``.  Raises `ConfigError` for a timeout that is none.
        """
        check_seconds("close(): timeout", timeout)
        self._closed = True
        if (pool := self._pool) is not None:
            pool.finish(timeout)
        apart(self._shut)

    def _shut(self) -> None:
        with self._lock:  # a pool that is being made now is closed too
            pool = self._pool
        if pool is not None:
            pool.shut()

    def reconfigure(self, **knobs: Any) -> None:
        """Change knobs while traffic runs; the others stay as they are.

        ``knobs``: those to change, with their new values; the reference says of each whether it can change.  They are
        checked as at construction.  A smaller ``max_size`` closes idle connections at once, the others as they are
        given back.  Raises one `ConfigError` naming every mistake; then nothing is changed.
        """
        topology = self._topology
        topology.reconfigure(lambda before: self._reconfigured(before, knobs, tuple(topology.addresses.values())))

    def _reread(self, found: Changes, publish: bool) -> None:
        """Check what a file says now, and ``publish`` it.  Raises one `ConfigError` naming every mistake; then nothing
        is changed.
        """
        topology = self._topology
        wrong = [str(exc) for exc in map(self._wrong, found.addresses.values()) if exc is not None]
        wrong += taken(topology, found)

        def change(before: Knobs) -> Knobs:
            return self._reconfigured(before, found.knobs, after_reading(topology, found), wrong)

        if not publish:
            change(topology.settings)
        elif found.knobs or found.relisted:
            topology.reconfigure(change, lambda known: listing(topology, found, known))

    def _wrong(self, address: Address) -> ConfigError | None:
        try:
            self._check_dialled(address)
        except ConfigError as exc:
            return exc
        return None

    def _reconfigured(
        self, before: Knobs, values: Mapping[str, Any], addresses: Collection[Address], wrong: Sequence[str] = ()
    ) -> Knobs:
        after, found = changed(before, values)
        found += wrong
        for address in addresses:
            given = [key for key in BALANCING if getattr(address, key) is not None]
            found += [
                f"{'zone' if key == 'zone' else 'policy'}: node {address.node!r} has {key}, but {text}"
                for key, text in unused(after.policy, given, after.zone)
            ]
        if after.max_lag is not None:
            lag = replace(self._topology.measured_lag, probe_interval=after.probe_interval)
            try:
                check_options(Options.under(after), self.name, self._topology.nodes, lag)
            except ConfigError as exc:
                found.append(str(exc))
        if found:
            raise report("the settings", found)
        return after

    def _claimed(
        self, arguments: Mapping[str, Any] | None, on_connect: Callable[[Any], object] | None
    ) -> dict[str, Claim]:
        """Return, as an option, what the sessions of a use are made with."""
        claim = self._uses.claim(arguments, on_connect)
        return {} if claim is None else {"claim": claim}

    def _require_shareable(self, arguments: Mapping[str, Any] | None) -> None:
        if self.driver is not None and isinstance(arguments, Mapping) and self.driver.own_thread(arguments):
            raise ConfigError(
                f"cluster {self.name!r}: open(): a pooled connection is used by several threads, and"
                f" {self.driver.name} is told to keep each to its own: leave check_same_thread out, or ask dial() or"
                " connect() for one of a thread"
            )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _in_dialect(self, driver: R) -> R:
        """Let a driver speak the dialect that the settings name, before anything reads its rules."""
        if self._dialect is not None:
            driver.dialect = by_name(self._dialect)
        return driver

    @property
    def _options(self) -> Options:
        """What the cluster's knobs say of an operation."""
        return Options.under(self._topology.settings)

    def _load_async(self) -> AsyncDriver:
        """Return the asyncio driver, loading it when it is first needed."""
        if self._async_adapter is None:
            choice = self.async_driver if self.async_driver is not None else asyncio_of(self.driver)
            if choice is None:
                raise ConfigError(f"cluster {self.name!r} has no driver for asyncio: give async_driver=")
            adapter = self._in_dialect(load_async(choice))
            if self.driver is not None and adapter.family != self.driver.family:
                raise ConfigError(
                    f"cluster {self.name!r}: async_driver {adapter.name} is for {adapter.family}, but driver"
                    f" {self.driver.name} for {self.driver.family}"
                )
            if self.driver is not None:  # the nodes were checked for that one only
                for address in tuple(self._topology.addresses.values()):
                    check_via(address, adapter.name, adapter.abilities.shared)
            self._async_adapter = adapter
        return self._async_adapter

    def _pools(self) -> list[tuple[str, Pool | AsyncPool]]:
        """Return the pools that there are, each with its API; copied at once, without a lock."""
        waiting = [("asyncio", ref()) for ref in self._async_pools.valuerefs()]
        return [(api, pool) for api, pool in [("threads", self._pool), *waiting] if pool is not None]

    def _make_pool(self) -> Pool:
        from .sync.pool import Pool

        if self.driver is None:
            raise ConfigError(f"cluster {self.name!r} has no driver for threads: give driver=, or use clustersql.aio")
        pool = self._pool
        if pool is not None and (self._closed or not pool.closed):
            return pool
        with self._lock:
            if self._pool is None or (self._pool.closed and not self._closed):
                self._pool = Pool(self._topology, self.driver)
                if self._closed:
                    self._pool.shut()
            return self._pool

    def _make_async_pool(self) -> AsyncPool:
        """Return the pool of the running event loop; each loop has one of its own."""
        from asyncio import get_running_loop

        from .aio.pool import Pool

        driver, loop = self._load_async(), get_running_loop()
        with self._lock:
            pool = self._async_pools.get(id(loop))
            if pool is None or pool.closed or pool.loop is not loop:
                pool = self._async_pools[id(loop)] = Pool(self._topology, driver)
                if self._closed:
                    pool.shut()
            return pool

    def _seen_async_pool(self) -> AsyncPool | None:
        """Return the pool of the running event loop, if it has one; takes no lock."""
        from asyncio import get_running_loop

        pool = self._async_pools.get(id(loop := get_running_loop()))
        return None if pool is None or pool.loop is not loop else pool

    def after_fork(self) -> tuple[()]:
        """In a forked child: a lock of our own; the parent's may have been held by a thread that does not
        exist here.
        """
        self._lock = threading.Lock()
        self._async_pools = WeakValueDictionary()  # no event loop lives on in a forked child
        return ()

    def _require_nodes(self) -> None:
        if not self._topology.addresses:
            raise ConfigError(f"cluster {self.name!r} has no nodes: add_node() at least one")

    def _no_positions(self, args: tuple[Any, ...]) -> None:
        if args and not (len(args) == 1 and isinstance(args[0], str)):
            raise ConfigError(f"connect() of cluster {self.name!r} takes the driver's arguments by name")

    def __getattr__(self, name: str) -> Any:
        # `__name__` and `__version__`, for whoever looks at the module.
        dunder = name.startswith("__") and name.endswith("__")
        if "_reading" not in self.__dict__ or (name.startswith("_") and not dunder):  # it is being made, or copied
            raise AttributeError(name)
        return getattr(self._reading.module, name)

    def __repr__(self) -> str:
        return f"<clustersql.Cluster {self.name!r} {self._reading.name} nodes={self.nodes}>"


def from_config(
    name: str,
    driver: str | None,
    async_driver: str | None,
    knobs: Mapping[str, Any],
    nodes: tuple[tuple[str, Address], ...],
) -> Cluster:
    """Return a cluster made of a file's values."""
    cluster = Cluster(name, driver=driver, async_driver=async_driver, **knobs)
    for _, address in nodes:
        cluster._add(address)
    return cluster


def reading_of(cluster: Cluster) -> Reading | None:
    """Return how a cluster was read from a file; None: it was not."""
    return cluster._read


def was_read(cluster: Cluster, reading: Reading) -> Cluster:
    """Remember how a cluster was read from a file, and return it."""
    cluster._read = reading
    return cluster


def reread(cluster: Cluster, found: Changes, publish: bool) -> None:
    """Check what a file says now of a cluster, and ``publish`` it.  Raises `ConfigError`; then nothing is changed."""
    cluster._reread(found, publish)
