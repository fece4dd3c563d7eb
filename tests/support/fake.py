"""An asyncio driver without a server: it knows which of its connections are open, and notices when one is used with an
answer pending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from clustersql import Cluster
from clustersql.core.faults import Facts, Fault
from clustersql.dialects import by_name
from clustersql.drivers.contract import Abilities, Target


class Error(Exception):
    """The base of the driver's errors."""


class OperationalError(Error):
    """A connection was lost, or not made."""


class InterfaceError(Error):
    """Wrong use."""


MODULE = SimpleNamespace(__name__="fake", Error=Error, OperationalError=OperationalError, InterfaceError=InterfaceError)


class Raw:
    """A connection.  ``pending``: an answer is on its way, so that a further statement would read the wrong one."""

    def __init__(self, driver: FakeDriver, node: str) -> None:
        self.driver, self.node = driver, node
        self.pending = self.closed = self.in_transaction = self.autocommit = False

    async def call(self, steps: int = 2) -> None:
        """A round trip of so many suspensions."""
        assert not self.closed, "a closed connection is used"
        assert not self.pending, "the answer to a cancelled statement is still pending"
        self.pending = True
        for _ in range(steps):
            await asyncio.sleep(0)
        if self.node in self.driver.dead:
            self.closed = True
            self.driver.open.discard(self)
            raise OperationalError("lost")
        self.pending = False


class FakeCursor:
    """A cursor: every statement gives one row, its own text."""

    def __init__(self, raw: Raw) -> None:
        self.raw, self.rows = raw, []
        self.description: Any = None
        self.rowcount = -1

    async def execute(self, operation: Any, parameters: Any = None, /) -> FakeCursor:
        self.raw.in_transaction = not self.raw.autocommit
        await self.raw.call()
        self.raw.driver.executed.append(operation)
        self.rows, self.description, self.rowcount = [(operation,)], (("text",),), 1
        return self

    async def executemany(self, operation: Any, parameters: Any, /) -> None:
        for one in parameters:
            await self.execute(operation, one)

    async def fetchone(self) -> Any:
        return self.rows.pop(0) if self.rows else None

    async def fetchmany(self, size: int = 1, /) -> Any:
        return [self.rows.pop(0) for _ in range(min(size, len(self.rows)))]

    async def fetchall(self) -> Any:
        await self.raw.call(1)
        rows, self.rows = self.rows, []
        return rows


class FakeDriver:
    """The adapter.  ``dead``: nodes whose connections are lost; ``deaf``: nodes that do not answer a dial as long as
    they are in it; ``open``: what is connected.
    """

    name, family, leaving = "fake", None, "close"
    module: Any = MODULE
    error, operational_error, interface_error = Error, OperationalError, InterfaceError
    abilities = Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True)
    methods: Mapping[str, Any] = {}
    begun: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.dialect = by_name("generic")
        self.open: set[Raw] = set()
        self.dead: set[str] = set()
        self.deaf: set[str] = set()
        self.executed: list[str] = []
        self.dials: list[str] = []
        self.commits = 0

    async def connect(self, target: Target, timeout: float) -> Raw:
        node = str(target.host)
        self.dials.append(node)
        await asyncio.sleep(0)
        while node in self.deaf:
            await asyncio.sleep(0.0005)
        if node in self.dead:
            raise OperationalError("refused")
        raw = Raw(self, node)
        self.open.add(raw)
        try:
            await asyncio.sleep(0)
        except BaseException:
            self.terminate(raw)
            raise
        return raw

    def facts(self, exc: BaseException, raw: Raw | None) -> Facts:
        lost = raw is None or raw.closed
        return Facts(Fault.LOST if lost else Fault.STATEMENT, lost, raw is None)

    def is_stale(self, raw: Raw) -> bool:
        return raw.closed

    def is_closed(self, raw: Raw) -> bool:
        return raw.closed

    def failed_transaction(self, raw: Raw) -> bool:
        return False

    def in_transaction(self, raw: Raw) -> bool:
        return raw.in_transaction

    def autocommit(self, raw: Raw) -> bool:
        return raw.autocommit

    def pushed_role(self, raw: Raw) -> None:
        return None

    def peer(self, raw: Raw) -> str:
        return ""

    def received(self, raw: Raw) -> None:
        return None

    def has_answered(self, raw: Raw, since: int | None) -> bool:
        return False

    def session_id(self, raw: Raw) -> None:
        return None

    def abort(self, raw: Raw) -> bool:
        raw.closed = True
        return True

    async def set_autocommit(self, raw: Raw, on: bool) -> None:
        await raw.call(1)
        raw.autocommit = on

    async def ask(self, raw: Raw, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        for _ in statements:
            await raw.call(1)
        return [[(1,)] for _ in statements]

    async def cursor(self, raw: Raw, args: Sequence[Any], kwargs: Mapping[str, Any]) -> FakeCursor:
        await asyncio.sleep(0)
        return FakeCursor(raw)

    async def close_cursor(self, cursor: FakeCursor) -> None:
        await asyncio.sleep(0)

    async def commit(self, raw: Raw) -> bool:
        await raw.call()
        raw.in_transaction = False
        self.commits += 1
        return True

    async def rollback(self, raw: Raw) -> None:
        await raw.call()
        raw.in_transaction = False

    async def close(self, raw: Raw) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self.terminate(raw)

    def terminate(self, raw: Raw) -> None:
        raw.closed = True
        self.open.discard(raw)


def fake_cluster(*nodes: str, driver: FakeDriver | None = None, **knobs: Any) -> tuple[Cluster, FakeDriver]:
    """Return a cluster of nodes without servers, and its driver."""
    driver = driver or FakeDriver()
    cluster = Cluster("fake", async_driver=driver, **({"policy": by_name_first} | knobs))
    for node in nodes or ("a", "b"):
        cluster.add_node(node, host=node)
    return cluster, driver


def by_name_first(loads: Any, now: float, random: Any) -> Any:
    """A policy: in the order of the names."""
    return sorted(loads, key=lambda load: load.name)


class CancelledAt:
    """Awaits ``coroutine`` and cancels the task at its ``nth`` suspension.  ``reached``: it had so many."""

    def __init__(self, coroutine: Any, nth: int) -> None:
        self.coroutine, self.nth, self.reached = coroutine, nth, False

    def __await__(self) -> Any:
        steps, count, error = self.coroutine.__await__(), 0, None
        while True:
            try:
                waiting = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value
            error = None
            count += 1
            if count == self.nth:
                self.reached = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waiting
            except BaseException as exc:
                error = exc
