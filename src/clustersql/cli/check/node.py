"""What one node says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from ...core import words
from ...core.faults import Fault
from ...core.view.node import Readiness, Report
from ...dialects.questions import Questions
from ...errors import ConfigError
from ...nodes.dial import connect_facts
from ...nodes.topology import Topology
from .members import learn, several_addresses
from .result import ClusterResult, NodeResult
from .wire import Wire
from .zones import zone_in

__all__ = ["first_line", "inspect"]

CLOCK = 1.0
"""Seconds by which a server's clock may differ; more confuses whoever compares times of two nodes."""
TRIPS = 5


def first_line(topology: Topology, node: str, error: BaseException) -> str:
    """Return the error's first line, without the node's password."""
    return topology.redacted(node, words.first_line(error))


def inspect(topology: Topology, name: str, wire: Wire, cluster: ClusterResult) -> NodeResult:
    """Connect ``wire`` to the node, ask all that can be asked, and add what is wrong to ``cluster``."""
    result = NodeResult(name, _address(topology, name))
    try:
        result.connect = wire.open()
        result.reachable = result.authenticated = True
        report: Report = wire.probe().limited(topology.settings.max_receive_queue)
        _take(result, report)
        result.zone = zone_in(topology, name, report)
        learn(topology, name, wire, report)
        questions = topology.driver.dialect.questions
        _measure(result, wire, questions)
        _history(topology, result, wire, questions, cluster)
    except Exception as exc:
        _failed(topology, result, exc)
    _judge(result, cluster)
    if addresses := several_addresses(topology, name):
        what = "its name leads to several addresses, which are one node: give each server a node of its own"
        cluster.note(name, f"{what} ({', '.join(addresses)})")
    return result


def _address(topology: Topology, name: str) -> str:
    address = topology.addresses[name]
    if address.unix_socket or address.host is None:
        return str(address.unix_socket or address.database or "")
    return f"{address.host}:{address.port}" if address.port else str(address.host)


def _failed(topology: Topology, result: NodeResult, exc: Exception) -> None:
    result.error = first_line(topology, result.name, exc)
    if not result.authenticated:
        fault = connect_facts(topology.driver, exc).fault
        result.reachable = fault is not Fault.LOST and not isinstance(exc, ConfigError | TimeoutError)
    if result.readiness == "unknown" and result.reachable:
        result.readiness = Readiness.NOT_READY.value


def _take(result: NodeResult, report: Report) -> None:
    result.role, result.readiness = report.role.value, report.readiness.value
    result.why, result.version = report.why, report.version
    result.epoch, result.position = report.epoch, report.position
    if limit := report.details.get("max_connections"):
        result.max_connections = int(limit) - int(report.details.get("reserved_connections", "0"))


def _measure(result: NodeResult, wire: Wire, questions: Questions) -> None:
    result.round_trip = _round_trip(wire)
    if questions.clock:
        began = time.time()
        [[seconds]] = wire.execute(questions.clock, keep=True)
        result.clock = float(seconds) - (began + time.time()) / 2
        wire.commit()
    result.tls = " ".join(_text(value) for value in _values(wire, questions.tls))
    if used := _values(wire, questions.used):
        result.used_connections = int(used[-1])


def _history(topology: Topology, result: NodeResult, wire: Wire, questions: Questions, cluster: ClusterResult) -> None:
    if result.role != "replica" or not (users := _values(wire, questions.history)):
        return
    say = cluster.find if topology.settings.max_lag is not None else cluster.note
    what = (
        "after a promotion it cannot be proven to follow the new primary until its next restart point,"
        " and is not fresh for max_lag"
    )
    say(result.name, f"{what}: GRANT pg_monitor TO {users[0]}")


def _round_trip(wire: Wire) -> float:
    """Inside a transaction: the first statement of one may cost another trip for BEGIN."""
    wire.execute("SELECT 1", keep=True)
    trips = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        wire.execute("SELECT 1", keep=True)
        trips.append(time.perf_counter() - began)
    wire.commit()
    return median(trips)


def _values(wire: Wire, sql: str) -> list[Any]:
    """The answer's values; of name and value (SHOW) the value."""
    if not sql:
        return []
    rows = wire.execute(sql)
    if sql.startswith("SHOW"):
        return [value for _, value in sorted(rows, reverse=True)]  # the version before the cipher
    return [value for row in rows for value in row]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _judge(result: NodeResult, cluster: ClusterResult) -> None:
    say: Callable[[str], None] = partial(cluster.find, result.name)
    if not result.reachable:
        say(f"not reachable: {result.error}")
    elif not result.authenticated:
        say(f"reachable, but it refuses the login: {result.error}")
    elif result.error:
        say(f"connected, but then: {result.error}")
    elif result.readiness != Readiness.READY.value:
        say(f"not ready ({result.readiness}): {result.why}")
    if result.clock is not None and abs(result.clock) > CLOCK:
        say(f"its clock is {abs(result.clock):.1f} s {'ahead of' if result.clock > 0 else 'behind'} ours")
