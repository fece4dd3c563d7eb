"""The cluster: named nodes behind one driver.  Also a PEP 249 module object, so that it can stand where the driver's module stood."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import fork
from .address import Address
from .checks import is_number
from .describe import described
from .dialects import by_name
from .drivers import load as load_driver
from .dsn import check_family, parse
from .errors import ConfigError
from .knobs import YEAR, settings
from .metrics import measured
from .notes import Notes
from .options import Options, check_options
from .topology import Topology

if TYPE_CHECKING:
    from .core.view import View
    from .drivers.contract import Driver
    from .sync.connection import Connection
    from .sync.database import Database
    from .sync.dialled import Dialled
    from .sync.pool import Pool


class Cluster:
    """Nodes that hold the same database, reached through one driver.  Thread-safe.

    ``name`` is what `clustersql.register` files it under.  ``driver`` is a PEP 249 module, its name, or an adapter; ``async_driver``
    is kept for the asyncio API.  ``knobs`` are described in the reference; a mistake in any of them raises one `ConfigError` naming all.

    What PEP 249 asks of a module (``apilevel``, ``paramstyle``, ``threadsafety``, the exception classes, type objects and
    constructors) is the driver's, and so is everything else that the driver's module has.
    """

    def __init__(
        self,
        name: str,
        *,
        driver: str | ModuleType | Driver,
        async_driver: str | ModuleType | None = None,
        **knobs: Any,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a cluster's name must be a text that is not empty, not {name!r}")
        self.name = name
        self.async_driver = async_driver
        self.driver: Driver = load_driver(driver)
        self._topology = Topology(name, self.driver, settings(**knobs))
        if self._topology.settings.dialect is not None:  # before anything reads its rules
            self.driver.dialect = by_name(self._topology.settings.dialect)
        settled = self._topology.settings
        self._options = Options(read_only=settled.read_only, max_lag=settled.max_lag)
        check_options(self._options, self._topology)
        self._notes = Notes(self.driver.dialect.rules)
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._dialled: Dialled | None = None
        self._closed = False
        fork.track(self)

    # -- nodes ---------------------------------------------------------------------------------------------------------------------

    def add_node(self, name: str, dsn: str | None = None, /, **fields: Any) -> None:
        """Add a node, while traffic runs if need be.

        ``dsn`` is a URL (``mysql://user:password@host:port/database``) or the driver's own connection string.  ``fields`` are ``host``,
        ``port``, ``user``, ``password`` (a text, or a function that is called at every dial), ``password_file``, ``database``,
        ``unix_socket``, and any further argument of the driver's ``connect``; they win over ``dsn``.  Raises `ConfigError`.
        """
        self._add(parse(name, dsn, fields))

    def _add(self, address: Address) -> None:
        check_family(address.node, address, self.driver.family, self.driver.name)
        self._topology.add(address.node, address)

    def remove_node(self, name: str) -> None:
        """Take a node out: it gets no new work and its idle connections are closed; work in progress there ends normally.

        Raises `ConfigError` when there is no such node.
        """
        self._topology.remove(name)

    def drain(self, name: str, grace: float | None = None) -> None:
        """Give a node no new work, before its server is stopped; work in progress there ends by itself, and its connections are closed.

        ``grace``: seconds after which the connections that are still in use there are ended; what they were doing is then recovered as
        after any lost connection.  None: never by us.  Returns at once; `describe` tells how many are left.  Raises `ConfigError`.
        """
        if grace is not None and not (is_number(grace) and 0 <= grace <= YEAR):
            raise ConfigError(f"grace: must be a number of seconds from 0 to a year, or None, not {grace!r}")
        self._topology.drain(name, True, grace)

    def undrain(self, name: str) -> None:
        """Give a drained node work again.  Raises `ConfigError` when there is no such node."""
        self._topology.drain(name, False)

    @property
    def nodes(self) -> list[str]:
        """The names of the nodes, sorted."""
        return sorted(self._topology.addresses)

    @property
    def view(self) -> View:
        """What is believed of the nodes now: an immutable value (`clustersql.core.view.View`)."""
        return self._topology.view

    # -- use -----------------------------------------------------------------------------------------------------------------------

    def open(self) -> Database:
        """Return the cluster's `Database`: pooled, thread-safe, shared by all who call this."""
        from .sync.database import Database

        self._require_nodes()
        return Database(self._make_pool(), self._notes, self._options)

    def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Return a PEP 249 connection outside the pool.  Arguments are the driver's own and win; node and credentials come from the cluster.

        Raises `NoNodeAvailable`.  A driver that takes its connection string by position has it replaced by the node's.
        """
        from .sync.connection import Connection

        self._require_nodes()
        self._no_positions(args)
        return Connection(self._make_pool(), self._options, self._options.want(autocommit=False), self._notes, kwargs)

    def dial(
        self,
        *,
        read_only: bool = False,
        node: str | None = None,
        timeout: float | None = None,
        max_lag: float | str | None = None,
        **arguments: Any,
    ) -> Any:
        """Return the driver's own connection, from the best node, for frameworks that have a pool of their own.

        ``read_only``: from any ready node, and the session is read-only.  ``timeout``: seconds in all.  ``max_lag``: as among the options.  Further arguments are the driver's.
        The connection is remembered weakly, for `is_current` and `observe`.  Raises `NoNodeAvailable`.
        """
        self._require_nodes()
        options = self._options.changed(read_only=read_only or None, node=node, timeout=timeout, max_lag=max_lag)
        check_options(options, self._topology)
        pool = self._make_pool()
        assert self._dialled is not None
        return self._dialled.dial(pool, options, arguments)

    def is_current(self, raw: Any) -> bool:
        """Tell, without I/O, whether a connection from `dial` is still good for what it was dialled for.

        Its node must still be there, with the role that was asked for, and in the generation it was dialled in.
        """
        return self._dialled is not None and self._dialled.is_current(raw)

    def observe(self, raw: Any, error: BaseException) -> bool:
        """Tell the cluster of an error that a framework met on a connection from `dial`.  Returns whether the connection is lost."""
        return self._dialled is not None and self._dialled.observe(raw, error)

    def describe(self) -> dict[str, Any]:
        """Return, ready for JSON, what each node may serve now, and on which axis, since when and why it is kept out of work.

        The names are in the reference.
        """
        return described(self._topology)

    def metrics(self) -> dict[str, Any]:
        """Return the cluster's figures, ready for JSON; the names are in the reference."""
        return measured(self._topology, self._pool)

    def close(self) -> None:
        """Close the pool.  Connections that are in use are closed when they are given back.  Twice does no harm."""
        with self._lock:
            pool, self._closed = self._pool, True
        if pool is not None:
            pool.close()

    # -- inside --------------------------------------------------------------------------------------------------------------------

    def _make_pool(self) -> Pool:
        from .sync.dialled import Dialled
        from .sync.pool import Pool

        with self._lock:
            if self._pool is None or (self._pool.closed and not self._closed):
                self._pool = Pool(self._topology)
                self._dialled = self._dialled or Dialled(self._topology)
                if self._closed:
                    self._pool.close()
            return self._pool

    def after_fork(self) -> tuple[()]:
        """In a forked child: a lock of our own; the parent's may have been held by a thread that does not exist here."""
        self._lock = threading.Lock()
        return ()

    def _require_nodes(self) -> None:
        if not self._topology.addresses:
            raise ConfigError(f"cluster {self.name!r} has no nodes: add_node() at least one")

    def _no_positions(self, args: tuple[Any, ...]) -> None:
        if args and not (len(args) == 1 and isinstance(args[0], str)):
            raise ConfigError(f"connect() of cluster {self.name!r} takes the driver's arguments by name")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "driver":
            raise AttributeError(name)
        return getattr(self.driver.module, name)

    def __repr__(self) -> str:
        return f"<clustersql.Cluster {self.name!r} {self.driver.name} nodes={self.nodes}>"


def from_config(
    name: str, driver: str, async_driver: str | None, knobs: Mapping[str, Any], nodes: tuple[tuple[str, Address], ...]
) -> Cluster:
    """Return a cluster made of a file's values."""
    cluster = Cluster(name, driver=driver, async_driver=async_driver, **knobs)
    for _, address in nodes:
        cluster._add(address)
    return cluster
