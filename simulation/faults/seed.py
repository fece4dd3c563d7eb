"""One run: a cluster, its clients and its troubles, all from one seed; and the verdict on what the clients
were told.
"""

from __future__ import annotations

import gc
import logging
import random
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import clustersql
import clustersql.aio.connection
import clustersql.aio.database
import clustersql.aio.pool
import clustersql.pool.outside
import clustersql.sync.connection
import clustersql.sync.database
import clustersql.sync.pool
from clustersql.core.guard.commit_id import BYTES
from clustersql.nodes.guard import CommitGuard

from .async_driver import MANNERS, SimulatedAsync
from .cancelled import TaskClient
from .causal import CausalClient
from .driver import Simulated
from .flavours import MYSQL, POSTGRESQL
from .history import OK, History, check
from .loop import START, Loop
from .programs import Client, read, write
from .replication import Servers
from .servers import Node
from .tasks import EventLoop
from .trouble import LASTS, Storm

PATIENCE = 60.0
"""Seconds after peace by which every operation must have ended: far more than its timeouts and retries together."""
TASKS = 0.25
"""How many of the runs have a client of the asyncio API too; it is drawn apart, so that the others stay what they are.
"""
APART = ("tasks", "folds", "splits")
"""What else as many of the runs have: a driver that notices no COMMIT inside a text; two primaries at once, with the
guard.
"""
GUARDED = 0.4
"""How many of the runs have the commit guard; drawn apart likewise."""
CAUSAL = 0.25
"""How many of the runs of PostgreSQL have a client with causal views; drawn apart as well."""
REST = 3.0
"""Seconds in which what is on its way arrives."""
SPENT = 0.1
"""Seconds between two deletions of acknowledged tokens."""


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    history: History
    events: int
    recovered: int
    lost: int

    def __str__(self) -> str:
        return "\n".join(self.history.lines)


class _Listener(logging.Handler):
    """Errors that the library logs and survives are wrong here: the monitor must not fail."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.ERROR)
        self.history = history

    def emit(self, record: logging.LogRecord) -> None:
        """Take it down."""
        self.history.violated(logging.Formatter().format(record))


def simulate(seed: int) -> Outcome:
    """Run one seed to its end and check it."""
    chance = random.Random(seed)
    loop = Loop(chance)
    history = History(lambda: loop.now - START)
    servers = Servers(
        loop,
        chance,
        chance.choice([POSTGRESQL, MYSQL]),
        synchronous=chance.random() < 0.5,
        durable=chance.random() < 0.7,
        told=lambda text: history.note("servers", text),
    )
    history.guarded = _is_guarded(seed, servers)
    apart = random.Random(f"{seed} causal")
    causal = servers.family is POSTGRESQL and apart.random() < CAUSAL
    servers.tells_positions, servers.shows_history = causal, apart.random() < 0.5
    # What an asynchronous failover to an older history throws away, a fence too, nobody can be held to.
    servers.promotes_newest = causal or (history.guarded and not servers.synchronous)
    history.note(
        "servers", f"{servers.family.dialect.name}, {'synchronous' if servers.synchronous else 'asynchronous'}"
    )
    log, listener = logging.getLogger("clustersql"), _Listener(history)
    before = log.level, log.propagate
    log.addHandler(listener)
    log.setLevel(logging.ERROR)
    log.propagate = False
    recovered = 0
    gc.disable()  # or the collector ends things at moments that the seed does not know
    try:
        with loop.installed(), _tokens(random.Random(f"{seed} tokens")):
            tasks, folds, splits = (random.Random(f"{seed} {what}").random() < TASKS for what in APART)
            recovered = _run(loop, servers, history, tasks, not folds, splits and history.guarded)
    except Exception:
        history.violated(traceback.format_exc())
    finally:
        gc.enable()
        log.removeHandler(listener)
        log.setLevel(before[0])
        log.propagate = before[1]
    check(history, servers)
    return Outcome(seed, history, loop.events, recovered, len(servers.lost))


def _is_guarded(seed: int, servers: Servers) -> bool:
    """Not where an old primary that is cut off would answer: MySQL's servers tell no history, and only their own COMMIT,
    which waits for a second node, can tell that they are old.
    """
    return random.Random(f"{seed} guard").random() < GUARDED and (servers.family is POSTGRESQL or servers.synchronous)


@contextmanager
def _tokens(chance: random.Random) -> Iterator[None]:
    """Within the block the tokens of the commit guard are the seed's."""
    with patch.object(CommitGuard, "token", staticmethod(lambda: chance.randbytes(BYTES))):
        yield


def _run(loop: Loop, servers: Servers, history: History, tasks: bool, folding: bool, splits: bool) -> int:
    driver, chance = Simulated(servers), loop.chance
    driver.folding = folding
    knobs = _knobs(chance) | ({"commit_guard": True} if history.guarded else {})
    cluster = _cluster("simulated", servers.nodes, knobs, driver=driver)
    database = cluster.open()
    clients = [Client("xyz"[n], database, servers.family, history, loop) for n in range(chance.randint(1, 3))]
    for client in clients:
        if history.guarded:
            client.elsewhere = lambda: _elsewhere(servers, knobs, driver)
        loop.spawn(lambda client=client: client.run(chance.randint(2, 6)))
    if servers.tells_positions:
        clients.append(reader := CausalClient("r", database, servers.family, history, loop))
        loop.spawn(lambda: reader.run(chance.randint(10, 25)))
    if tasks:
        clients.append(_tasks(loop, servers, driver, history))
    storm = Storm(servers, driver)
    storm.begin((Storm.isolate,) if splits else ())
    if servers.tells_positions:
        storm.restart_standbys()
    loop.run(START + LASTS + PATIENCE)
    for client in clients:
        if client.running:
            history.violated(f"{client.name} still waits, {PATIENCE:g} s after all trouble has ended")
    _afterwards(loop, database, servers, history)
    cluster.close()
    loop.rest(REST)
    loop.end()
    return sum(record.recovered for record in cluster._topology.records.values())


def _elsewhere(servers: Servers, knobs: dict[str, Any], driver: Simulated) -> clustersql.Cluster:
    """Make the cluster of another process, which may know one of the nodes only: one that says that it is primary."""
    chance = servers.chance
    primaries = [node for node in servers.nodes if node.primary and node.alive] or servers.nodes
    nodes = [chance.choice(primaries)] if chance.random() < 0.7 else servers.nodes
    return _cluster("elsewhere", nodes, knobs, driver=driver)


def _cluster(name: str, nodes: Sequence[Node], knobs: dict[str, Any], **drivers: Any) -> clustersql.Cluster:
    cluster = clustersql.Cluster(name, **drivers, **knobs)
    for node in nodes:
        cluster.add_node(node.name, host=node.name)
    if (guard := cluster._topology.guard) is not None:
        guard.rest = SPENT
    return cluster


def _tasks(loop: Loop, servers: Servers, driver: Simulated, history: History) -> Client:
    """Begin a client of the asyncio API, in an event loop of its own."""
    chance = loop.chance
    adapter = SimulatedAsync(servers, driver.opened, chance.choice(MANNERS))
    adapter.folding = driver.folding
    knobs = _knobs(chance) | ({"commit_guard": True} if history.guarded else {})
    cluster = _cluster("tasks", servers.nodes, knobs, async_driver=adapter)
    client = TaskClient("t", None, servers.family, history, loop)
    history.note("t", f"has a driver that, when it is cancelled, {adapter.manner}")
    loop.spawn(lambda: EventLoop(loop).run_to_the_end(client.run_tasks(cluster, chance.randint(3, 8))))
    return client


def _afterwards(loop: Loop, database: Any, servers: Servers, history: History) -> None:
    """In peace everything works again."""
    last = Client("last", database, servers.family, history, loop)
    last.hurries = False

    def work() -> None:
        loop.sleep(1.5)  # a breaker's longest rest, and `KEEPALIVE`
        for program in (write, read):
            if last.do(program) != OK:
                history.violated(f"a {program.__name__} fails in peace")
        last.end()

    loop.spawn(work)
    loop.run(loop.now + PATIENCE)
    if last.running:
        history.violated("an operation in peace does not end")


def _knobs(chance: random.Random) -> dict[str, Any]:
    """Knobs in a scale of tenths of seconds, so that everything comes to pass within a few simulated seconds."""
    return {
        "timeout": chance.choice([0.5, 3.0]),
        "connect_timeout": 0.5,
        "stagger": chance.choice([0.02, 0.1]),
        "stall_after": 0.3,
        "probe_interval": chance.choice([0.3, 1.0]),
        "failover_probe": 0.2,
        "breaker_base": 0.1,
        "breaker_cap": 1.0,
        "slow_start": 1.0,
        "max_size": chance.randint(1, 4),
        "min_idle": chance.choice([0, 0, 1]),
        "max_lifetime": chance.choice([0.5, 1000.0]),
        "policy": chance.choice(["least-latency", "race", "round-robin"]),
        "retry_limit": chance.choice([0, 2, 2]),
        "retry_reserve": chance.choice([0, 10]),
    }
