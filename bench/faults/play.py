"""One run of a fault, with four programs at once: threads and asyncio, each with the defaults and with tuned knobs."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import clustersql
from clustersql.testing import FaultProxy, Network

from ..contender import Contender
from .program import AioProgram, Program, SyncProgram
from .scene import Fault, Scene, wait_until

KNOBS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "tuned": {"stall_after": 0.5, "probe_interval": 0.25, "connect_timeout": 1.0},
}
PATIENCE = 20.0
"""Seconds that a program may take until its next good answer, beyond what the fault itself lasts."""
WARM = 0.6
"""Seconds of work before the fault."""
AFTER = 0.4
"""Seconds of work after the last program has recovered: whoever falls back shows it."""
RECENT = 0.3
"""Seconds since the last good answer of a worker that is well."""
NEVER = float("inf")


@dataclass(frozen=True)
class Seen:
    """What one program saw of one run.  Times in seconds; infinity: never; None: nothing to be seen."""

    knobs: str
    api: str
    taken_out: float | None
    reads: float
    writes: float
    bare: float
    errors: Mapping[str, int]
    wrong: int
    """Rows lost, doubled, half done, or there though reported failed."""
    acknowledged: int
    slow: str
    """What became of the slow statement on a live node."""


class Theatre:
    """The servers of one engine, which live for all its faults; those in a network of their own are started when first
    needed.
    """

    def __init__(self, engine: ModuleType, stack: ExitStack) -> None:
        self.engine, self._stack = engine, stack
        self._servers: dict[bool, Any] = {}
        self.network: Network | None = None

    def servers(self, way: str) -> Any:
        """Return the servers that fit the way to them."""
        apart = way == "network"
        if apart not in self._servers:
            where = {}
            if apart:
                self.network = self._stack.enter_context(Network())
                where = {"network": self.network}
            self._servers[apart] = self._stack.enter_context(self.engine.servers(**where))
        return self._servers[apart]

    def play(self, fault: Fault) -> list[Seen]:
        """Let the fault happen once, and return what each program saw."""
        servers = self.servers(fault.way)
        with ExitStack() as stack:
            self.engine.prepare(servers, 2 * len(KNOBS))
            proxies = {}
            if fault.way == "proxy":
                proxies = {name: stack.enter_context(FaultProxy(servers.port(name))) for name in servers.nodes}
            scene = Scene(servers, [], proxies, self.network)
            scene.programs = _programs(self.engine, fault, scene)
            if fault.before is not None:
                fault.before(scene)
            return _play(self.engine, fault, scene)


def _programs(engine: ModuleType, fault: Fault, scene: Scene) -> list[Program]:
    drivers = {SyncProgram: {"driver": engine.DRIVER}, AioProgram: {"async_driver": engine.ASYNC_DRIVER}}
    made = []
    for number, (kind, knobs) in enumerate(itertools.product(drivers, KNOBS)):
        policy = _preferring(fault.reads)
        settings = {**KNOBS[knobs], **drivers[kind], **fault.knobs, "policy": policy}
        cluster = clustersql.Cluster(f"{kind.api}-{knobs}", **settings)
        for name in scene.servers.nodes:
            proxy = {"port": scene.proxies[name].port} if name in scene.proxies else {}
            cluster.add_node(name, scene.servers.dsn(name), **proxy)
        made.append(kind(number, knobs, fault, engine.SLOW, cluster))
    return made


def _preferring(name: str) -> Any:
    """Return the policy by which reads go to one node while it is well: the one that is broken must be in use."""
    return lambda loads, now, random: sorted(loads, key=lambda load: (load.name != name, load.order))


def _play(engine: ModuleType, fault: Fault, scene: Scene) -> list[Seen]:
    bare = Contender("the cluster itself", _bare(engine, fault, scene.servers))
    bare.start()
    try:
        for program in scene.programs:
            program.start()
        for program in scene.programs:
            wait_until(lambda program=program: _works(fault, program), program)
        time.sleep(WARM)
        for program in scene.programs:
            program.taken_out.clear()
            program.begin_slow()
        time.sleep(0.1)
        fault.act(scene)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not all(_is_well(program, scene) for program in scene.programs):
            time.sleep(0.02)
        heed = time.monotonic() + fault.heed
        while time.monotonic() < heed and not all(program.taken_out for program in scene.programs):
            time.sleep(0.02)
        if fault.after is not None:
            fault.after(scene)
        time.sleep(AFTER)
    finally:
        bare.over.set()
        scene.heal()
        for program in scene.programs:
            program.end()
    rows = {number: (count, who) for number, count, who in engine.truth(scene.servers, _ROWS)}
    counters = dict(engine.truth(scene.servers, "SELECT program, n FROM counters"))
    return [_seen(program, scene, bare, rows, counters) for program in scene.programs]


_ROWS = "SELECT number, COUNT(*), MIN(program) FROM writes GROUP BY number"


def _works(fault: Fault, program: Program) -> bool:
    nodes = [node for node in program.cluster.view if node.name != fault.down]
    return all(node.usable for node in nodes) and len(program.reader.good) > 5 and len(program.writer.good) > 5


def _is_well(program: Program, scene: Scene) -> bool:
    """Whether it reads and writes again, and has its slow answer: until then there may be more to see."""
    workers, now = (program.reader, program.writer), time.monotonic()
    return bool(program.slow) and all(_stall(each, scene) != NEVER and each.good[-1] > now - RECENT for each in workers)


def _stall(worker: Any, scene: Scene) -> float:
    return float(worker.stall(scene.began, scene.over))


def _seen(program: Program, scene: Scene, bare: Any, rows: Any, counters: Any) -> Seen:
    proof = program.proof(rows, counters)
    wrong = len(proof.missing | proof.twice | proof.not_undone | proof.strangers) + len(proof.wrong_counters)
    errors = Counter(
        f"{what}: {kind}"
        for what, worker in (("read", program.reader), ("write", program.writer))
        for at, kind in worker.errors
        if at > scene.began
    )
    taken = [at - scene.began for at in program.taken_out]
    return Seen(
        knobs=program.label,
        api=program.api,
        taken_out=max(0.0, taken[0]) if taken else None,
        reads=_stall(program.reader, scene) / 1e3,
        writes=_stall(program.writer, scene) / 1e3,
        bare=_stall(bare, scene) / 1e3,
        errors=errors,
        wrong=wrong,
        acknowledged=proof.acknowledged,
        slow=program.slow,
    )


def _bare(engine: ModuleType, fault: Fault, servers: Any) -> Any:
    """Return writes by the bare driver, to the first node that takes them: how long the cluster itself takes."""
    held: dict[str, Any] = {}
    order = list(fault.bare)

    def operation() -> None:
        name = order[0]
        try:
            if name not in held:
                held[name] = engine.bare(servers, name)
            with held[name].cursor() as cursor:
                cursor.execute("INSERT INTO bare VALUES (DEFAULT)")
        except Exception:
            with suppress(Exception):
                held.pop(name).close()
            order.append(order.pop(0))
            raise

    return operation
