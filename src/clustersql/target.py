"""What a dial of a node is given: its address as it is now, and the caller's own driver arguments.  Shared by both APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .address import Address, resolve
from .core.node import Report
from .drivers.contract import Reading, Target
from .errors import ConfigError
from .topology import Topology
from .via import check_arguments

NODE_ARGUMENTS = frozenset(
    "host hostaddr port unix_socket unix_sock user username password passwd passfile dsn conninfo".split()
)
"""Drivers' names for address and credentials.  Those are the node's: a program's unchanged ``connect(host=...)`` would lead all dials to one host."""

DATABASE_ARGUMENTS = frozenset("database dbname db".split())
"""Drivers' names for the database.  That is the caller's, where he names one: a test runner that works in a database of its own must never get
the node's, whatever the driver would make of two names."""


def address_of(topology: Topology, name: str) -> Address:
    """Return the address of a node.  Raises `ConfigError` when it was removed meanwhile."""
    address = topology.addresses.get(name)
    if address is None:
        raise ConfigError(f"cluster {topology.name!r} has no node {name!r} any more")
    return address


def target_of(
    topology: Topology,
    driver: Reading,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    address: Address | None = None,
) -> Target:
    """Return where and how to connect to ``name``, everything resolved.

    ``arguments`` are the caller's driver arguments and win over the node's, but for address and credentials; a database that is None is
    none at all.  ``address`` is given where its password was asked for already.  Raises `ConfigError`, and what a password function raises.
    """
    target = resolve(address or address_of(topology, name))
    if target.password:
        topology.passwords[name] = target.password
    if arguments:
        if target.shared:
            check_arguments(name, arguments)
        target = _with_callers(target, _callers(arguments, driver.family))
    return target


def told_at_connect(topology: Topology, driver: Reading, name: str, raw: Any) -> Report | None:
    """Return what the server told of itself at connect, without a round trip, where that confirms what is known; None: it must be asked.

    A pooler tells what the server told *it*, some time ago.
    """
    if topology.is_shared(name):
        return None
    pushed, node = driver.pushed_role(raw), topology.view.by_name.get(name)
    if pushed is not None and node is not None and node.confirmed_by(pushed):
        return Report(pushed, complete=False)
    return None


def _with_callers(target: Target, given: Mapping[str, Any]) -> Target:
    if not DATABASE_ARGUMENTS.isdisjoint(given):
        others = {name: value for name, value in target.arguments.items() if name not in DATABASE_ARGUMENTS}
        target = replace(target, database=None, arguments=others)
    named = {name: value for name, value in given.items() if value is not None or name not in DATABASE_ARGUMENTS}
    return replace(target, arguments={**target.arguments, **named})


def _callers(arguments: Mapping[str, Any], family: str | None) -> dict[str, Any]:
    """Return what a caller may set: not where, nor as whom.  SQLite's address is its database."""
    fixed = NODE_ARGUMENTS | {"database"} if family == "sqlite" else NODE_ARGUMENTS
    return {name: value for name, value in arguments.items() if name not in fixed}
