"""What our backends have in common: Django's connection is a handle of the cluster's pool.

Rules
-----
1. `connect` checks a handle out, `close` gives it back; the cluster's pool keeps the sessions, for all threads and
   aliases together.
2. What Django sets up in a new connection is done on the driver's own, once per session and after a reset, so that it
   pins nothing.
3. A session that is lost is replaced under the handle: an error of its is no reason to close the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.utils.functional import cached_property

from ...cluster import Cluster
from ...errors import NoNodeAvailable
from ...nodes.dial import NODE_ARGUMENTS
from ..attempts import under_way
from ..link import Link
from .checks import check_all
from .clusters import DRIVERS, cluster_of, leave, link_of, named, note_failure, note_success
from .pinning import is_written_by, note_write, shared
from .settings import OURS, Asked, adopt, read

_hooks: dict[tuple[Any, ...], Callable[[Any], None]] = {}


class Clustered:
    """The mixin before a backend's ``DatabaseWrapper``; another package's wrapper may stand between.

    ``connections[alias].cluster`` is the `Cluster`.
    """

    alias: str
    settings_dict: dict[str, Any]
    connection: Any
    in_atomic_block: bool
    Database: Any

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        """Read the settings, all aliases at once.  Raises `ImproperlyConfigured`."""
        databases = connections.settings
        if alias != NO_DB_ALIAS and databases.get(alias) is settings_dict:
            check_all(databases)
            adopt(alias, databases)
        super().__init__(settings_dict, alias=alias)  # type: ignore[call-arg]
        self.written = False
        self._link: Link | None = None
        entries = {**databases, alias: settings_dict}
        self._asked: Asked = read(alias, entries)
        if self._asked.cluster:
            named(alias, self._asked, self._driver)
        source = self._asked.source
        self._has_replica = any(entry.get("REPLICA_OF") == source for entry in databases.values())
        if self._has_replica and source == alias:
            self.execute_wrappers = [self._noting]

    # -- what Django calls ---------------------------------------------------------------------------------------------

    def get_connection_params(self) -> dict[str, Any]:
        """Return the driver's arguments without address and credentials, which are the nodes'."""
        parameters: dict[str, Any] = super().get_connection_params()  # type: ignore[misc]
        return {name: value for name, value in parameters.items() if name not in NODE_ARGUMENTS}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Check a handle out.  Raises the driver's errors, `NoNodeAvailable`, `PoolTimeout`."""
        self._link = link = self._linked(conn_params)
        try:
            database = link.database(conn_params, False)
            if database.closed:  # by `close_pool`: it opens again
                link.leave()
                database = link.database(conn_params, False)
            handle = self._shared(database).connection()
        except NoNodeAvailable:
            if self.alias == NO_DB_ALIAS:  # Django tries another database next
                note_failure(link.cluster)
            raise
        note_success(link.cluster)
        return handle

    def init_connection_state(self) -> None:
        """Leave to each session what Django sets up in a new one."""
        BaseDatabaseWrapper.init_connection_state(self)

    def close_if_unusable_or_obsolete(self) -> None:
        """Begin a new request or task: reads may go to replicas again."""
        if not self.in_atomic_block:
            self.written = False
        super().close_if_unusable_or_obsolete()  # type: ignore[misc]

    def close_pool(self) -> None:
        """Close the alias's idle sessions, as Django does before it copies or drops a database."""
        leave(self.alias)

    def schema_editor(self, *args: Any, **kwargs: Any) -> Any:
        """Return Django's own, in whose block the connection stays where it is: half of a migration elsewhere would be
        worse than an error.
        """
        made = super().schema_editor(*args, **kwargs)  # type: ignore[misc]
        made.__class__ = _steady(type(made))
        return made

    def commit(self) -> None:
        """Commit, and let `rerun` know what came of it."""
        attempt: Any = under_way.get()
        if getattr(attempt, "connection", None) is not self:
            super().commit()  # type: ignore[misc]
            return
        attempt.committing = True
        try:
            super().commit()  # type: ignore[misc]
        except Exception as exc:  # before Django rolls back, after which the handle knows no more
            attempt.note(exc, self.connection)
            raise
        attempt.committed = True

    # -- ours ----------------------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The cluster behind this alias."""
        link = self._link or self._linked(self.get_connection_params())
        return link.cluster

    def prepare_session(self, raw: Any, statements: list[tuple[str, list[Any]]]) -> None:
        """Set a new session up: ``raw`` is the driver's own connection."""
        with raw.cursor() as cursor:
            for statement, parameters in statements:
                cursor.execute(statement, parameters)
        raw.commit()

    def session_settings(self) -> tuple[Any, ...]:
        """Return what of the settings is set up in a session: another value needs another session."""
        raise NotImplementedError

    def primary_settings(self) -> dict[str, Any]:
        """Return the settings with the address of the node that serves this connection, for programs that connect by
        themselves.
        """
        self.ensure_connection()  # type: ignore[attr-defined]
        found: dict[str, Any] = self.settings_dict | dict.fromkeys(OURS)
        if self._asked.cluster is None:
            host, port = self._asked.servers[self.connection.node]
            return found | {"HOST": host, "PORT": str(port or "")}
        return found | self.address_of(self.connection.peek())

    def address_of(self, raw: Any) -> dict[str, Any]:
        """Return HOST, PORT, USER and, where the driver tells it, PASSWORD of a connection of the driver's."""
        raise NotImplementedError

    @cached_property
    def _driver(self) -> str:
        name: str = self.Database.__name__
        return DRIVERS.get(name, name)

    def _linked(self, conn_params: Mapping[str, Any]) -> Link:
        asked = self._asked
        if asked.cluster:
            cluster = named(self.alias, asked, self._driver)
        else:
            cluster = cluster_of(asked, self._driver, self.settings_dict, conn_params)
        return link_of(self.alias, self._link, cluster, dict(asked.options), self._hook())

    def _hook(self) -> Callable[[Any], None]:
        """Return what sets a session up: the same function for as long as it does the same, and for a replica that of
        its alias.
        """
        key = (type(self), self._asked.source, self.alias == NO_DB_ALIAS, *self.session_settings())
        if key not in _hooks:
            # A wrapper of its own: this one ends with its thread, and its settings may change.
            apart = type(self)(dict(self.settings_dict), alias=self.alias)
            _hooks.setdefault(key, apart.set_up)
        return _hooks[key]

    def set_up(self, raw: Any) -> None:
        """Do what Django does to a new connection, on the driver's own."""
        raise NotImplementedError

    def _shared(self, database: Any) -> Any:
        """Return ``database`` as a part of the request that is under way, where reads may go to a replica."""
        source = self._asked.source
        return shared(source, database, self.alias == source) if self._has_replica else database

    def _noting(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if is_written_by(sql):
            self.written = True
            note_write(self.alias)
        return execute(sql, params, many, context)


_steadies: dict[type, type] = {}


def _steady(editor: type) -> type:
    """Return a schema editor's class whose block keeps the connection on its node."""
    if editor not in _steadies and not hasattr(editor, "clustersql_stack"):

        class Steady(editor):
            clustersql_stack: ExitStack

            def __enter__(self) -> Any:
                with ExitStack() as stack:
                    if not self.collect_sql:
                        self.connection.ensure_connection()
                        stack.enter_context(self.connection.connection.options(move=False))
                    entered = super().__enter__()
                    self.clustersql_stack = stack.pop_all()
                    return entered

            def __exit__(self, *error: Any) -> Any:
                with self.clustersql_stack:
                    return super().__exit__(*error)

        Steady.__name__, Steady.__qualname__, Steady.__module__ = (
            editor.__name__,
            editor.__qualname__,
            editor.__module__,
        )
        _steadies[editor] = Steady
    return _steadies.get(editor, editor)
