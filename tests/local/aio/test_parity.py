"""The two APIs have the same names and signatures; every difference is in a list here, with its reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import clustersql
from clustersql import aio
from clustersql.aio.checkout import Checkout
from clustersql.aio.connection import Connection as AsyncConnection
from clustersql.aio.cursor import Cursor as AsyncCursor
from clustersql.aio.database import Database as AsyncDatabase
from clustersql.sync.connection import Connection
from clustersql.sync.cursor import Cursor
from clustersql.sync.database import Database

PAIRS: dict[str, tuple[type, type]] = {
    "Database": (Database, AsyncDatabase),
    "Connection": (Connection, AsyncConnection),
    "Cursor": (Cursor, AsyncCursor),
}

ONLY_SYNC = {
    "Cursor": {
        "fetchone",
        "fetchmany",
        "fetchall",
    },  # the driver's own bound methods there, thus no methods of the class
}
ONLY_ASYNC = {
    "Connection": {
        "acquired",  # a constructor cannot be awaited: makes the `Checkout`
        "execute",  # there is no PEP 249 for asyncio to leave it to: the one way for all drivers; sync drivers' own is forwarded
        "set_autocommit",  # asyncpg has no such mode, so that there is no method of the driver's to forward to
    },
    "Cursor": {
        "fetchone", "fetchmany", "fetchall",  # a frame of our own, because a fetch may be cancelled
        "description", "rowcount",  # the driver's cursor is made with the first statement; before that we answer
    },
}  # fmt: skip
ONLY_SYNC_NAMES = {
    # What is no API of threads: shared by both.
    "AlreadyCommitted", "CausalityLost", "Cluster", "ClusterError", "ConfigError", "Credentials", "NoNodeAvailable", "OutcomeUnknown", "PoolClosed",
    "PoolTimeout", "ReplayMismatch", "TransactionLost", "load", "metrics", "register", "registered", "reload", "unregister",
}  # fmt: skip
TWINS = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__", "__next__": "__anext__"}
AWAITED = {
    "Database": {"execute", "run", "close", "settle", "once"},
    "Connection": {"commit", "rollback", "close", "execute", "set_autocommit"},
    "Cursor": {"execute", "executemany", "close", "fetchone", "fetchmany", "fetchall"},
}


def public(kind: type) -> dict[str, Any]:
    """Its own names and those that it has from a base of ours."""
    bases = [base for base in reversed(kind.__mro__) if base is not object]
    return {name: value for base in bases for name, value in vars(base).items() if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("pair", PAIRS)
def test_same_names(pair: str) -> None:
    """Methods and properties."""
    sync, asynchronous = (set(public(kind)) for kind in PAIRS[pair])
    assert sync - asynchronous == ONLY_SYNC.get(pair, set()) - asynchronous
    assert asynchronous - sync == ONLY_ASYNC.get(pair, set()) - sync


@pytest.mark.parametrize("pair", PAIRS)
def test_same_signatures(pair: str) -> None:
    """The same parameters with the same kinds and defaults; properties stay properties."""
    sync, asynchronous = (public(kind) for kind in PAIRS[pair])
    for name in sync.keys() & asynchronous.keys():
        one, other = sync[name], asynchronous[name]
        assert type(one) is type(other), name
        if callable(one):
            assert parameters(one) == parameters(other), name


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_awaited(pair: str) -> None:
    """Whatever may wait for a server, and nothing else."""
    methods = {name for name, value in public(PAIRS[pair][1]).items() if inspect.iscoroutinefunction(value)}
    assert methods == AWAITED[pair]


@pytest.mark.parametrize("pair", PAIRS)
def test_same_protocols(pair: str) -> None:
    """``with`` is ``async with``, ``for`` is ``async for``."""
    sync, asynchronous = PAIRS[pair]
    for one, other in TWINS.items():
        assert (one in vars(sync)) == (other in vars(asynchronous)), one
    assert ("__del__" in vars(sync)) == ("__del__" in vars(asynchronous))


def test_same_documentation() -> None:
    """A knob's words are the same; who changes one has to look at the other."""
    for name in ("options", "execute", "run", "connection", "stats"):
        one, other = (inspect.getdoc(getattr(kind, name)) or "" for kind in PAIRS["Database"])
        assert one.splitlines()[-1] == other.splitlines()[-1], name


def test_same_functions_of_the_module() -> None:
    """``open`` and ``connect``, with the arguments of the sync ones."""
    classes = {"Checkout", "Connection", "Cursor", "Database"}
    assert set(clustersql.__all__) - ONLY_SYNC_NAMES == set(aio.__all__) - classes == {"open", "connect"}
    assert parameters(aio.open) == parameters(clustersql.open)
    assert parameters(aio.connect) == parameters(clustersql.connect)


def test_same_arguments_to_dial() -> None:
    """``adial`` is ``dial``, awaited."""
    assert parameters(clustersql.Cluster.adial) == parameters(clustersql.Cluster.dial)
    assert inspect.iscoroutinefunction(clustersql.Cluster.adial)
    assert {"__aenter__", "__aexit__", "__await__"} <= vars(Checkout).keys()
