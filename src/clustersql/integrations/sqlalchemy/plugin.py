"""The entry point of SQLAlchemy's: it takes our parameters out of the URL, and puts the cluster behind the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import CreateEnginePlugin, Engine

from ...errors import ConfigError
from ..link import Link
from . import outside
from .clusters import cluster_of
from .dialects import refuse_late, register, session_hook
from .settings import PREFIX, Asked, read

VIEW = "clustersql_view"
"""The keyword by which `read_only` tells the plugin what its engine may do."""

_made: WeakKeyDictionary[Any, tuple[Any, dict[str, Any]]] = WeakKeyDictionary()


class Plugin(CreateEnginePlugin):
    """``plugin=clustersql`` in a URL, or ``plugins=["clustersql"]`` of ``create_engine``."""

    def __init__(self, url: Any, kwargs: dict[str, Any]) -> None:
        self.url = url
        self.keywords = dict(kwargs)
        self.is_async = bool(kwargs.get("_is_async"))
        self.view: dict[str, Any] = kwargs.pop(VIEW, {})
        self.asked: Asked = read(url, kwargs)
        if self.asked.pool == "clustersql":
            kwargs.pop("poolclass", None)  # it was `NullPool`, and ours is one
        self.base = url.get_dialect(_is_async=self.is_async)
        self.cluster = self.view.get("cluster") or cluster_of(self.asked, url, self.base.driver, self.is_async)
        self.ours = not (self.asked.cluster or self.asked.config or self.view)

    def update_url(self, url: Any) -> Any:
        """Return the URL with nothing in it but what is the driver's: the dialect's own name, when the pool is ours."""
        taken = [name for name in url.query if name.startswith(PREFIX) or name == "host"]
        url = url.difference_update_query(taken)
        driver = register(self.base, self.is_async) if self.asked.pool == "clustersql" else url.drivername
        database = None if self.base.name == "sqlite" else url.database
        return URL.create(driver, database=database, query=url.query)

    def engine_created(self, engine: Engine) -> None:
        """Join the engine to its cluster."""
        _made[engine] = self.url, self.keywords
        engine.url = self.url  # whole: who makes another engine of it gets the same cluster
        if self.asked.pool == "sqlalchemy":
            event.listen(engine, "set_engine_execution_options", refuse_late)
            event.listen(engine, "set_connection_execution_options", refuse_late)
            outside.follow(engine, self.cluster, self.asked.timeout, self.view.get("options", {}))
            return
        link = Link(self.cluster, {"timeout": self.asked.timeout, **self.view.get("options", {})}, self.ours)
        link.hook = session_hook(engine.dialect)
        engine.dialect.clustersql = link  # type: ignore[attr-defined]


def read_only(engine: Any, *, max_lag: float | str | None = None, after: str | Callable[[], str] | None = None) -> Any:
    """Return an engine over the same cluster whose sessions are read-only: any ready node may serve them, and the
    server refuses writes.

    ``engine``: one with the plugin, of either API; the other is left as it is.  ``max_lag``: how far behind a replica
    may be, in seconds or as a size of its log ("16MB").  ``after``: the bookmark that a read must have seen, or a
    function that gives it at each checkout; "" asks for nothing.  Raises `ConfigError`.
    """
    inner = getattr(engine, "sync_engine", engine)
    if inner not in _made:
        raise ConfigError("read_only(): the engine has no cluster: make it by a URL with plugin=clustersql")
    if after is not None and getattr(inner.dialect, "clustersql", None) is None:
        raise ConfigError(
            "read_only(): after: SQLAlchemy's pool gives out what it has dialled for an earlier reader; leave"
            " clustersql_pool=sqlalchemy out"
        )
    url, keywords = _made[inner]
    given = {"read_only": True, "max_lag": max_lag, "after": after}
    options = {name: value for name, value in given.items() if value is not None}
    keywords = keywords | {VIEW: {"cluster": cluster_behind(inner), "options": options}}
    if inner is engine:
        return create_engine(url, **keywords)
    from sqlalchemy.ext.asyncio import AsyncEngine

    return AsyncEngine(create_engine(url, **keywords))


def cluster_behind(engine: Any) -> Any:
    """Return the cluster of an engine with the plugin."""
    link = getattr(engine.dialect, "clustersql", None)
    return outside.followed(engine) if link is None else link.cluster
