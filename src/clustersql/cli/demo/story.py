"""What happens to the nodes, per engine: the part of the administrator and of chance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from .tally import Fault, Tally

if TYPE_CHECKING:
    from ...testing import FaultProxy, GaleraCluster, PostgresCluster
    from .screen import Screen

__all__ = ["ENGINES", "ONE_ADDRESS", "Engine", "Stage"]

FAILOVER = 1.0
"""Seconds until somebody notices that the primary is dead and promotes another; failover tools take longer."""
PATIENCE = 45.0
"""Seconds in which every worker must have had a good answer after a fault."""


@dataclass(slots=True)
class Stage:
    """What a story is played with."""

    servers: Any
    """The nodes, which it kills and brings back."""
    tally: Tally
    """What the workload sees."""
    screen: Screen
    """Where it is told."""
    seconds: float
    """How long it takes in all."""
    address: FaultProxy | None = None
    """The one address before all nodes; None: each has its own."""

    def phase(self, name: str) -> None:
        """Begin a phase."""
        self.screen.phase = name
        self.tally.phase(name)
        self.screen.say(f"--- {name}")

    def rest(self, share: float) -> None:
        """Let the workload go on for a share of the whole time."""
        threading.Event().wait(self.seconds * share)

    def kill(self, node: str, what: str) -> Fault:
        """Kill a node."""
        self.screen.say(f"kill -9 {node} ({what})")
        fault = self.tally.fault(f"{what} {node} killed")
        self.servers.kill(node)
        self.tally.done(fault)
        return fault

    def freeze(self, node: str, what: str) -> Fault:
        """Let a node hang: it accepts connections and answers nothing."""
        self.screen.say(f"SIGSTOP {node} ({what}): it accepts connections, and answers nothing")
        fault = self.tally.fault(f"{what} {node} frozen")
        self.servers.freeze(node)
        self.tally.done(fault)
        return fault

    def thaw(self, node: str) -> None:
        """Let it go on."""
        self.servers.thaw(node)
        self.screen.say(f"SIGCONT {node}")

    def recovered(self, fault: Fault) -> None:
        """Wait until every worker had a good answer, and tell how long it took."""
        if self.tally.all_back(fault, PATIENCE):
            last = max(ended for ended, _ in fault.back.values())
            self.screen.say(f"every worker has a good answer again, {last - fault.at:.2f} s after the fault")
        else:
            self.screen.say(f"after {PATIENCE:g} s not every worker has a good answer yet")


def postgres(stage: Stage) -> None:
    """A standby hangs for a while; another dies, then the primary; one is promoted; all come back."""
    servers: PostgresCluster = stage.servers
    first, second, last = servers.primary, servers.nodes[1], servers.nodes[-1]
    stage.phase("all nodes up")
    stage.rest(0.2)
    stage.phase("a standby is frozen")
    stage.recovered(stage.freeze(second, "standby"))
    stage.thaw(second)
    stage.rest(0.1)
    stage.phase("a standby is down")
    stage.recovered(stage.kill(last, "standby"))
    stage.rest(0.2)
    stage.phase("the primary is down")
    fault = stage.kill(first, "primary")
    stage.screen.say("there is no primary: reads go on, writes wait")
    threading.Event().wait(FAILOVER)
    _promote(stage, fault)
    stage.recovered(fault)
    stage.rest(0.3)
    stage.phase("all come back")
    for node in servers.nodes:
        if servers.state(node) == "down":
            servers.rejoin(node)
            stage.screen.say(f"{node} is back, a standby of {servers.primary}")
    stage.rest(0.3)


def _promote(stage: Stage, fault: Fault) -> None:
    """Promote the standby that has received most: what was acknowledged is on at least one (ANY 1), so it is on that
    one.
    """
    servers: PostgresCluster = stage.servers
    alive = [node for node in servers.nodes if servers.state(node) == "running"]
    received = "SELECT (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::bigint"
    best = max(alive, key=lambda node: servers.execute(node, received)[0][0])
    if len(alive) == 1:  # as failover tools do: alone it would wait for ever for a standby to confirm each COMMIT
        servers.execute(best, "ALTER SYSTEM SET synchronous_standby_names = ''")
        servers.execute(best, "SELECT pg_reload_conf()")
    stage.screen.say(f"promoting {best}")
    servers.promote(best)
    fault.mended = monotonic()
    stage.tally.mark(f"{best} promoted")
    stage.screen.say(f"{best} is the primary and accepts writes")


def one_address(stage: Stage) -> None:
    """The primary is demoted and lives on, with its sessions, and a standby is promoted; the address leads to both for
    a while, then to the new one.
    """
    servers: PostgresCluster = stage.servers
    address, old, new = stage.address, servers.nodes[0], servers.nodes[1]
    assert address is not None
    stage.phase(f"the address leads to {old}")
    stage.rest(0.3)
    stage.phase(f"{new} is promoted")
    stage.screen.say(f"{old} is demoted: it takes no writes from now on, answers all else, and keeps its sessions")
    fault = stage.tally.fault(f"primary {old} demoted")
    servers.set_read_only(old)
    _handed_over(servers, old, new)
    servers.promote(new)
    address.balance(servers.port(old), servers.port(new))
    fault.mended = monotonic()
    stage.tally.done(fault)
    stage.screen.say(f"{new} is the primary; the address leads to both")
    stage.recovered(fault)
    stage.rest(0.3)
    stage.phase(f"the address leads to {new}")
    address.target_port = servers.port(new)
    stage.rest(0.4)


def _handed_over(servers: PostgresCluster, old: str, new: str) -> None:
    """Wait until the transactions that were open at the demotion have ended, and ``new`` has received all that they
    wrote: a commit is confirmed by one standby, which may be the other.
    """
    [(since,)] = servers.execute(old, "SELECT clock_timestamp()::text")
    older = f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND xact_start <= '{since}'"
    while servers.execute(old, older) != [(0,)]:
        threading.Event().wait(0.01)
    [(end,)] = servers.execute(old, "SELECT pg_current_wal_flush_lsn()::text")
    while servers.execute(new, f"SELECT pg_last_wal_receive_lsn() >= '{end}'") != [(True,)]:
        threading.Event().wait(0.01)


def galera(stage: Stage) -> None:
    """A node hangs for a while; one dies and comes back, for two of three must stay; then the writer dies, and the next
    is writer by itself.
    """
    servers: GaleraCluster = stage.servers
    first, second, last = servers.nodes[0], servers.nodes[1], servers.nodes[-1]
    stage.phase("all nodes up")
    stage.rest(0.2)
    stage.phase("a node is frozen")
    stage.recovered(stage.freeze(second, "node"))
    stage.thaw(second)
    servers.heal()  # the others have expelled it: it must join again before the next one may die
    stage.screen.say(f"{second} has joined again")
    stage.phase("a node is down")
    stage.recovered(stage.kill(last, "node"))
    stage.rest(0.2)
    servers.start(last)
    stage.screen.say(f"{last} is back")
    stage.phase("the writer is down")
    stage.recovered(stage.kill(first, "writer"))
    stage.rest(0.3)
    stage.phase("all come back")
    servers.start(first)
    stage.screen.say(f"{first} is back, first in the list, so the writer again")
    stage.rest(0.3)


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of cluster."""

    title: str
    """Its name on the screen."""
    driver: str
    """The driver it is reached through."""
    start: Callable[[int], Any]
    """Starts so many nodes."""
    play: Callable[[Stage], None]
    """Tells its story."""


def _postgres_servers(nodes: int) -> Any:
    from ...testing import PostgresCluster

    return PostgresCluster(nodes, sync=True)


def _galera_servers(nodes: int) -> Any:
    from ...testing import GaleraCluster

    return GaleraCluster(nodes)


ENGINES = {
    "postgres": Engine("PostgreSQL", "psycopg", _postgres_servers, postgres),
    "galera": Engine("MariaDB Galera", "pymysql", _galera_servers, galera),
}

ONE_ADDRESS = Engine("PostgreSQL", "psycopg", _postgres_servers, one_address)
"""All nodes behind one address."""
