"""SQLAlchemy's own pool over a cluster (``clustersql_pool=sqlalchemy``): its connections are dialled, judged and given
up by the cluster.

For what only that pool has: temporary tables from one checkout to the next, and pool events.  A statement that is under
way when its node dies ends with the driver's error there, as without a cluster; the next one works.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DisconnectionError, OperationalError

from ...cluster import Cluster
from ...core.recovery.observed import During, Outcome
from ...errors import OutcomeUnknown
from ..following import is_followed

log = logging.getLogger("clustersql")

_followed: WeakKeyDictionary[Any, Cluster] = WeakKeyDictionary()
UNKNOWN = "the connection was lost before COMMIT was answered; whether the transaction was committed is unknown"
TAKES_NO_PART = (
    "cluster %s: an engine over SQLAlchemy's own pool takes no part in the causal view that is followed: what it writes"
    " is not remembered, and what it reads may be older; leave clustersql_pool=sqlalchemy out of its URL"
)


def followed(engine: Any) -> Cluster:
    """Return the cluster of an engine with its own pool."""
    return _followed[engine]


def follow(engine: Engine, cluster: Cluster, timeout: float, options: Mapping[str, Any]) -> None:
    """Let the engine dial by the cluster, its pool learn from the cluster, and the cluster from the engine's errors."""
    _followed[engine] = cluster
    wanted = {"timeout": timeout, **options}
    told: list[str] = []

    def dial(dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]) -> Any:
        arguments = {name: value for name, value in cparams.items() if name not in wanted}
        if dialect.is_async:
            cparams["async_creator_fn"] = lambda *_, **given: cluster.adial(**{**given, **wanted})
            cargs.clear()
            return None  # and SQLAlchemy goes on, with that
        return cluster.dial(**arguments, **wanted)

    def check(adapted: Any, record: Any, proxy: Any) -> None:
        if not cluster.is_current(record.driver_connection):  # SQLAlchemy closes it, and dials again
            raise DisconnectionError("its node is gone or has another role now")
        if not told and is_followed(cluster):
            told.append(cluster.name)
            log.warning(TAKES_NO_PART, cluster.name)

    def report(context: Any) -> Any:
        # One lost connection says nothing about those to other nodes: `check` finds the ones that are lost too.
        context.invalidate_pool_on_disconnect = False
        connection = context.connection
        if connection is None or connection.invalidated:
            return None
        during: During = "commit" if connection.info.get(COMMITTING) else "transaction"
        seen = cluster.observe(connection.connection.driver_connection, context.original_exception, during=during)
        context.is_disconnect = context.is_disconnect or seen.lost
        if during == "commit" and seen.lost and seen.outcome is Outcome.UNKNOWN:
            ours = OutcomeUnknown(UNKNOWN)
            ours.__cause__ = context.original_exception
            return OperationalError("COMMIT", None, ours, connection_invalidated=True)
        return None

    event.listen(engine, "do_connect", dial)
    event.listen(engine, "checkout", check)
    event.listen(engine, "handle_error", report, retval=True)
    event.listen(engine, "commit", lambda connection: connection.info.update({COMMITTING: True}))
    event.listen(engine, "begin", lambda connection: connection.info.pop(COMMITTING, None))
    known = weakref.ref(engine)

    def forked() -> None:  # the child begins with an empty pool; what is in the old one is its parent's
        if (alive := known()) is not None:
            alive.dispose(close=False)

    os.register_at_fork(after_in_child=forked)


COMMITTING = "clustersql_committing"
"""In ``Connection.info``: COMMIT was asked for."""
