"""What joins an engine, or an alias of Django's, to its cluster: which sessions it asks for, with which arguments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from .. import fork
from ..cluster import Cluster
from .following import taking_part


class Link:
    """The databases of one engine or alias: one for each set of driver arguments, which hardly ever differ."""

    def __init__(self, cluster: Cluster, options: Mapping[str, Any], ours: bool) -> None:
        """``options``: those of ``db.options()``.  ``ours``: the cluster was made for this engine alone, so that its
        end is the engine's.
        """
        self.cluster = cluster
        self.options = dict(options)
        # The bookmark that holds when a connection is checked out; None: it is the same for all, or there is none.
        after = self.options.get("after")
        self.after: Callable[[], str] | None = self.options.pop("after") if callable(after) else None
        self.ours = ours
        self.hook: Callable[[Any], object] | None = None
        self._latest: tuple[Mapping[str, Any], Any] | None = None
        self._lock = threading.Lock()
        fork.track(self)

    def database(self, arguments: Mapping[str, Any], is_async: bool) -> Any:
        """Return the database whose sessions have these arguments and the hook.  Raises `ConfigError`."""
        latest = self._latest
        if latest is None or (latest[0] is not arguments and latest[0] != arguments):
            with self._lock:
                opened = (self.cluster.aopen if is_async else self.cluster.open)(
                    arguments=arguments, on_connect=self.hook
                )
                latest = self._latest = dict(arguments), opened.options(**self.options)
        return taking_part(latest[1] if self.after is None else latest[1].options(after=self.after()))

    def leave(self) -> Any:
        """Forget the database, so that its idle sessions are closed; return it where the cluster ends with
        the engine.
        """
        latest, self._latest = self._latest, None
        return latest[1] if latest is not None and self.ours else None

    def after_fork(self) -> tuple[()]:
        """In a forked child: a lock of our own; the parent's may have been held by a thread that does not
        exist here.
        """
        self._lock = threading.Lock()
        return ()
