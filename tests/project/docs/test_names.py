"""The public names and their signatures: the contract of the design's section 2.  A change here is a change for every
user.
"""

from __future__ import annotations

import inspect

import pytest

import clustersql
from clustersql import aio, registry
from clustersql.connection.result import Result
from clustersql.sync.connection import Connection
from clustersql.sync.cursor import Cursor
from clustersql.sync.database import Database
from clustersql.testing.workload import AsyncWorkload, Workload

NAMES = [
    "AlreadyCommitted",
    "CausalityLost",
    "Cluster",
    "ClusterError",
    "ConfigError",
    "Credentials",
    "NoNodeAvailable",
    "OutcomeUnknown",
    "PoolClosed",
    "PoolTimeout",
    "ReplayMismatch",
    "TransactionLost",
    "connect",
    "load",
    "metrics",
    "open",
    "register",
    "registered",
    "reload",
    "unregister",
]

FUNCTIONS = {
    "connect": "(name, /, **arguments)",
    "load": "(path=None, *, name=None, driver=None)",
    "metrics": "()",
    "open": "(name, dsn=None, /)",
    "register": "(cluster)",
    "registered": "()",
    "reload": "(path=None)",
    "unregister": "(name)",
}

SINGLE = "(self, operation, parameters, /, **options)"
DIAL = "(self, *, read_only=False, node=None, role=None, timeout=None, max_lag=None, after=None, **arguments)"
SETTINGS = "timeout=None, read_only=None"
PINS = "node=None, role=None, move=None, max_lag=None"

METHODS: dict[type, dict[str, str]] = {
    clustersql.Cluster: {
        "__init__": "(self, name, *, driver=None, async_driver=None, **knobs)",
        "aconnect": "(self, *args, **kwargs)",
        "adial": DIAL,
        "add_node": "(self, name, dsn=None, /, **fields)",
        "add_nodes": "(self, url, /, **fields)",
        "aopen": "(self, *, arguments=None, on_connect=None)",
        "close": "(self, timeout=None)",
        "connect": "(self, *args, **kwargs)",
        "dial": DIAL,
        "drain": "(self, name, grace=None)",
        "events": "(self)",
        "is_current": "(self, raw)",
        "measure": "(self)",
        "metrics": "(self)",
        "nodes": "property",
        "observe": "(self, raw, error, *, during='autocommit')",
        "on_event": "(self, function)",
        "open": "(self, *, arguments=None, on_connect=None)",
        "reconfigure": "(self, **knobs)",
        "remove_node": "(self, name)",
        "snapshot": "(self)",
        "undrain": "(self, name)",
        "view": "property",
    },
    Database: {
        "bookmark": "property",
        "causal": "(self, after='', *, strict=True)",
        "close": "(self, timeout=None)",
        "closed": "property",
        "connection": f"(self, *, {SETTINGS}, {PINS})",
        "execute": "(self, operation, parameters, /, **driver_options)",
        "options": f"(self, *, {SETTINGS}, idempotent=None, {PINS}, after=None, keep=None)",
        "run": "(self, function, *args, **kwargs)",
        "route": "(self)",
        "once": "(self, key, function, *args, **kwargs)",
        "settle": "(self, commit_id, *, timeout=None)",
        "stats": "(self)",
    },
    Connection: {
        "attempt": "property",
        "close": "(self)",
        "commit": "(self)",
        "commit_id": "property",
        "cursor": "(self, *args, **kwargs)",
        "driver_connection": "property",
        "may_run_again": "(self, error, *, at_commit=False)",
        "node": "property",
        "on_commit": "(self, function)",
        "options": "(self, **values)",
        "peek": "(self)",
        "pins": "property",
        "rollback": "(self)",
        "route": "property",
        "transaction": "(self, *args, **kwargs)",
    },
    Cursor: {
        "close": "(self)",
        "connection": "property",
        "driver_cursor": "property",
        "execute": SINGLE,
        "executemany": SINGLE,
    },
    Result: {
        "description": "attribute",
        "fetchall": "(self)",
        "fetchmany": "(self, size=1)",
        "fetchone": "(self)",
        "lastrowid": "attribute",
        "of": "(raw)",
        "route": "property",
        "rowcount": "attribute",
    },
    Workload: {
        "__init__": "(self, db, *, readers=4, writers=4, pause=0.01, name='workload', paramstyle='format', told=None)",
        "create": "(self, *nodes, timeout=60.0)",
        "progress": "(self, reads=50, writes=20, timeout=60.0)",
        "prove": "(self, fetch=None)",
        "stop": "(self, timeout=60.0)",
        "transaction": "(self, conn, number, worker)",
        "writing": "property",
    },
}

INSIDE = {(clustersql.Cluster, "after_fork")}
"""Called by our own code alone."""
DRIVER_S = {"fetchone", "fetchmany", "fetchall"}
"""The driver's own bound methods, set on each cursor."""


def shape(function: object) -> str:
    """A signature without types, and with the default of "not given" left out."""
    parameters = []
    signature = inspect.signature(function)  # type: ignore[arg-type]
    for parameter in signature.parameters.values():
        given = parameter.default
        shown = given is not parameter.empty and (given is None or isinstance(given, (bool, int, float, str)))
        parameters.append(parameter.replace(annotation=parameter.empty, default=given if shown else parameter.empty))
    return str(inspect.Signature(parameters))


def described(kind: type, name: str) -> str:
    member = inspect.getattr_static(kind, name)
    if isinstance(member, property):
        return "property"
    if inspect.ismemberdescriptor(member):
        return "attribute"
    if isinstance(member, int):
        return str(member)
    return shape(getattr(kind, name))


def test_the_public_names() -> None:
    assert sorted(clustersql.__all__) == NAMES
    assert clustersql.open is registry.open


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions(name: str) -> None:
    assert shape(getattr(clustersql, name)) == FUNCTIONS[name]


def test_the_names_for_asyncio() -> None:
    """The members of these classes are those of their twins: tests/local/aio/test_parity.py."""
    assert aio.__all__ == ["Checkout", "Connection", "Cursor", "Database", "connect", "open"]
    assert {name: shape(getattr(aio, name)) for name in ("connect", "open")} == {
        name: FUNCTIONS[name] for name in ("connect", "open")
    }


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_the_members(kind: type) -> None:
    names = {name for base in kind.__mro__ if base is not object for name in vars(base)}
    public = {name for name in names if not name.startswith("_") and (kind, name) not in INSIDE}
    assert public | {"__init__"} & METHODS[kind].keys() == METHODS[kind].keys()
    assert {name: described(kind, name) for name in METHODS[kind]} == METHODS[kind]


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_every_member_says_what_it_is_for(kind: type) -> None:
    silent = [
        name
        for name, what in METHODS[kind].items()
        if what != "attribute" and not name.startswith("__") and not getattr(kind, name).__doc__
    ]
    assert silent == []


def test_the_workload_of_tasks_has_the_same_members() -> None:
    members = METHODS[Workload]
    assert {name: described(AsyncWorkload, name) for name in members} == members
    assert all(getattr(AsyncWorkload, name).__doc__ for name in members)


def test_a_cursor_fetches_with_the_driver_s_own_methods() -> None:
    assert DRIVER_S.isdisjoint(vars(Cursor))
    assert set(Cursor.__annotations__) >= DRIVER_S


def test_the_errors_form_one_tree() -> None:
    ours = {
        name for name in NAMES if isinstance(getattr(clustersql, name), type) and name not in ("Cluster", "Credentials")
    }
    errors = {name for name in ours if issubclass(getattr(clustersql, name), clustersql.ClusterError)}
    assert ours - errors == {"ConfigError"}
    assert issubclass(clustersql.ConfigError, ValueError)
