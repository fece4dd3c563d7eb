"""A dialect of SQLAlchemy's whose connections are handles of the cluster's pool.

Each is a class of its own over the driver's dialect, made when a URL first asks for it, and registered under a name
that only the plugin writes into the URL.  Its name and driver stay the driver's, as programs test them.

Rules
-----
1. What the dialect sets up in a new connection (`on_connect`) is done on the driver's own, once per session, and after
   a reset.
2. The connection is SQLAlchemy's to keep for as long as the handle is: one whose session was lost gets another by
   itself.
3. Nothing is pooled twice: SQLAlchemy's pool is `NullPool`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.dialects import registry
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from ...errors import ConfigError, PoolClosed
from ..attempts import note
from ..link import Link
from .adapted import forget_notices, handle_of
from .faces import adapted_class, adapted_raw
from .versions import Versions

TWO_PHASE = (
    "clustersql: two-phase transactions are refused: a prepared transaction outlives its session on one node, and"
    " nothing of a cluster would find it again; use the driver's own URL without plugin=clustersql for them"
)

LATE = (
    "clustersql_read_only: an execution option comes after the checkout, and decides nothing any more; use"
    " read_only(engine) of clustersql.integrations.sqlalchemy, or Session(binds=...)"
)

_made: dict[str, type] = {}


def refuse_late(_: Any, options: Any) -> None:
    """Raise `ConfigError` for an execution option that would decide nothing."""
    if "clustersql_read_only" in options:
        raise ConfigError(LATE)


class HandlePool(NullPool):
    """SQLAlchemy's pool that keeps nothing; its end is that of the engine's sessions.

    The engine has no listener of ours: with one, each statement would look for others.
    """

    def dispose(self) -> None:
        """Let the cluster close the engine's sessions; a cluster of the engine's own is closed, and opens again with
        the next checkout.
        """
        super().dispose()
        dialect: Any = self._dialect
        database = dialect.clustersql.leave()
        if database is None:
            return
        if not dialect.is_async:
            database.close()
        elif in_greenlet():
            await_only(database.close())


class Clustered:
    """The mixin before a driver's dialect."""

    clustersql: Link
    supports_statement_cache = True
    clustersql_hooks: tuple[Callable[[Any], object], ...] = ()

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:
        """Pool nothing: the cluster does."""
        return HandlePool

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:
        """Return this one: that of asyncio was made for it already."""
        return cls

    def on_connect_url(self, url: Any) -> None:
        """Keep what is done in a new connection for the cluster, which calls it once per session."""
        hook = super().on_connect_url(url)  # type: ignore[misc]
        level = getattr(self, "_on_connect_isolation_level", None)
        hooks = [] if hook is None else [hook]
        if level is not None and not self._is_of_a_checkout(level):
            hooks.append(lambda connection: self.set_isolation_level(connection, level))  # type: ignore[attr-defined]
        self.clustersql_hooks = tuple(hooks)

    def _builtin_onconnect(self) -> Any:
        """Leave to each checkout what no session keeps for it."""
        level = getattr(self, "_on_connect_isolation_level", None)
        return super()._builtin_onconnect() if self._is_of_a_checkout(level) else None  # type: ignore[misc]

    def _is_of_a_checkout(self, level: str | None) -> bool:
        """Whether a level of the engine is none of the session: the autocommit mode is the pool's to set, and asyncpg
        keeps no level.
        """
        return level == "AUTOCOMMIT" or (level is not None and self.driver == "asyncpg")  # type: ignore[attr-defined]

    def connect(self, *_: Any, **arguments: Any) -> Any:
        """Check a handle out."""
        arguments = clean(self, arguments)
        if not self.is_async:  # type: ignore[attr-defined]
            return self.clustersql.database(arguments, False).connection()
        options = {name: arguments.pop(name) for name in ADAPTER_OPTIONS if name in arguments}
        return adapted_class(self).checked_out(self, self.clustersql.database(arguments, True), options)

    def get_driver_connection(self, connection: Any) -> Any:
        """Return the driver's own connection, unpinned; what is registered on it is gone after the return."""
        handle = handle_of(connection)
        return handle.peek() if hasattr(type(handle), "peek") else handle

    def is_disconnect(self, e: BaseException, connection: Any, cursor: Any) -> bool:
        """Tell whether the handle was closed: a session that was lost is replaced under it.

        SQLAlchemy asks about each error before it rolls back, so that here `run` learns what the handle knows of it.
        """
        note(e, None if connection is None else handle_of(getattr(connection, "dbapi_connection", connection)))
        return isinstance(e, PoolClosed)

    def set_engine_execution_options(self, engine: Any, opts: Any) -> None:
        """Refuse what comes too late; the others are SQLAlchemy's."""
        refuse_late(engine, opts)
        super().set_engine_execution_options(engine, opts)  # type: ignore[misc]

    def set_connection_execution_options(self, connection: Any, opts: Any) -> None:
        """Refuse what comes too late; the others are SQLAlchemy's."""
        refuse_late(connection, opts)
        super().set_connection_execution_options(connection, opts)  # type: ignore[misc]

    def do_begin_twophase(self, connection: Any, xid: Any) -> None:
        """Refuse."""
        raise InvalidRequestError(TWO_PHASE)

    do_prepare_twophase = do_begin_twophase

    def do_recover_twophase(self, connection: Any) -> Any:
        """Refuse."""
        raise InvalidRequestError(TWO_PHASE)


ADAPTER_OPTIONS = ("prepared_statement_cache_size", "prepared_statement_name_func")
"""Arguments that SQLAlchemy's asyncpg dialect keeps for itself; asyncpg would take them for settings of the server."""


def clean(dialect: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the driver's arguments without those that are the node's or the pool's: a file is its address."""
    if dialect.name == "sqlite":
        arguments.pop("check_same_thread", None)
    return {name: value for name, value in arguments.items() if name != "async_creator_fn"}


def session_hook(dialect: Any) -> Callable[[Any], object]:
    """Return what the cluster is to call with each new connection of the driver."""
    hooks = dialect.clustersql_hooks
    versions = Versions(dialect)
    if dialect.is_async:
        return adapted_raw(dialect, hooks, versions.look)

    def on_connect(raw: Any) -> None:
        versions.look(raw)
        forget_notices(raw)
        for hook in hooks:
            hook(raw)

    return on_connect


def register(base: Any, is_async: bool) -> str:
    """Make the class over the dialect ``base``, once, and return the URL's driver name for it."""
    name = f"clustersql_{base.driver}{'_async' if is_async else ''}"
    attribute = f"{base.name}_{name}"
    if attribute not in _made:
        members = {"supports_statement_cache": True, "__module__": __name__, "__doc__": base.__doc__}
        _made[attribute] = type(base.__name__, (Clustered, base), members)
        registry.register(f"{base.name}.{name}", __name__, attribute)
    return f"{base.name}+{name}"


def __getattr__(name: str) -> Any:
    try:
        return _made[name]
    except KeyError:
        raise AttributeError(name) from None
