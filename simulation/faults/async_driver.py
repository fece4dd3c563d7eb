"""The asyncio driver over the simulated network, and its adapter: it has one of the manners in which drivers take a
cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from clustersql.drivers.base.async_adapter import AsyncAdapter
from clustersql.drivers.contract import Target

from .driver import ABILITIES, MODULE, InterfaceError, OperationalError, Told, refusal
from .flavours import Code
from .network import CLIENT, FULL, REFUSED, STARTING, Wire, delay
from .replication import Servers
from .servers import Answer
from .tasks import Arrival, EventLoop

PASSES = "passes it on, with the answer pending"
CLOSES = "closes its connection, and says that it was lost"
WAITS = "waits for the answer, then passes it on or says that the connection was lost; it may swallow a second one meanwhile"
ANSWERS = "waits for the answer, and returns it as if nothing had been"
MANNERS = (PASSES, CLOSES, WAITS, ANSWERS)
BOUND = 0.5
"""Seconds that it waits for an answer after it was cancelled."""


class Raw:
    """A connection of the driver."""

    def __init__(self, wire: Wire, serial: int, lost: Code, manner: str) -> None:
        self.wire = wire
        self.serial = serial
        self.autocommit = self.closed = self.in_transaction = self.failed = False
        self._lost = lost
        self._manner = manner

    def cursor(self) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    async def commit(self) -> None:
        """Commit what is open; nothing is sent when nothing is."""
        if self.in_transaction or self.wire.broken:
            await self.ask(("commit",))

    async def rollback(self) -> None:
        """Roll back what is open."""
        if self.in_transaction or self.wire.broken:
            await self.ask(("rollback",))

    async def close(self) -> None:
        """Close."""
        self.drop()

    def drop(self) -> None:
        """Close at once."""
        self.closed = True
        self.wire.close()

    async def ask(self, request: tuple[Any, ...]) -> Answer:
        """Send, and await the answer.  Raises what the server answers, or that the connection is lost."""
        if self.closed:
            raise InterfaceError((None, None, "the connection is closed"))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        if not self.wire.send(request, Arrival(loop.world, loop)):
            raise OperationalError(self._lost)
        answer = await self._heard(self.wire.owed())
        self.wire.heard()
        if answer is None:
            raise OperationalError(self._lost)
        self.in_transaction, self.failed = answer.in_transaction, answer.failed
        if answer.error is not None:
            raise OperationalError(answer.error)
        return answer

    async def _heard(self, arrival: Arrival) -> Answer | None:
        try:
            return await asyncio.shield(arrival.future)
        except asyncio.CancelledError as exc:
            if self._manner == PASSES:
                raise
            if self._manner == CLOSES:
                self.drop()
                raise OperationalError(self._lost)  # noqa: B904 - as drivers do, who say only what they were doing
            cancellation = exc
        answer = await self._awaited(arrival)  # from here on nothing tells that there was a cancellation
        if self._manner == ANSWERS:
            return answer
        if self.wire.chance.random() < 0.5:
            raise cancellation
        self.drop()
        return None

    async def _awaited(self, arrival: Arrival) -> Answer | None:
        end = asyncio.get_running_loop().time() + BOUND
        while True:
            try:
                async with asyncio.timeout_at(end):
                    answer: Answer | None = await asyncio.shield(arrival.future)
                    return answer
            except TimeoutError:
                self.drop()
                return None
            except asyncio.CancelledError:
                if self.wire.chance.random() < 0.5:
                    raise


class Cursor:
    """A cursor of the driver: the whole answer is here when `execute` returns."""

    lastrowid = None

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None
        self.rowcount = -1

    async def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run a statement."""
        self._rows, self.description = [], None
        answer = await self._raw.ask(("execute", sql, parameters, self._raw.autocommit))
        if answer.rows is not None:
            self._rows, self.description = list(answer.rows), (("token",) + (None,) * 6,)
        return self

    async def executemany(self, sql: str, items: Iterable[Sequence[Any]], /) -> None:
        """Run a statement once per item."""
        for parameters in items:
            await self.execute(sql, parameters)

    async def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        return self._rows.pop(0) if self._rows else None

    async def fetchmany(self, size: int = 1, /) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    async def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rest."""
        return await self.fetchmany(len(self._rows))

    async def close(self) -> None:
        """Close."""


class SimulatedAsync(Told, AsyncAdapter):
    """The adapter for asyncio."""

    name = "simulated"
    family = None
    abilities = ABILITIES

    def __init__(self, servers: Servers, opened: list[Any], manner: str) -> None:
        super().__init__(MODULE)
        self.packages = frozenset(("simulation",))
        self.servers = servers
        self.dialect = servers.family.dialect
        self.opened = opened
        self.manner = manner
        self.outlives_cancellation = manner == ANSWERS

    async def dial(self, target: Target, timeout: float) -> Raw:
        """Connect; a node that is cut off or frozen answers when it is back."""
        servers, family = self.servers, self.servers.family
        node = next(node for node in servers.nodes if node.name == target.host)
        await asyncio.sleep(delay(servers) * 2)
        while node.frozen or not servers.linked(CLIENT, node.name):
            await asyncio.sleep(0.05 + servers.chance.random() * 0.1)
        if not node.alive or node.starting or node.full:
            raise refusal(family, FULL if node.alive and not node.starting else STARTING if node.alive else REFUSED)
        raw = Raw(Wire(servers, node), len(self.opened), family.lost, self.manner)
        self.opened.append(raw)
        return raw

    def autocommit(self, raw: Raw) -> bool:
        """Return the autocommit mode."""
        return raw.autocommit

    async def set_autocommit(self, raw: Raw, on: bool) -> None:
        """Set the autocommit mode, without a round trip."""
        raw.autocommit = on

    async def answers(self, raw: Raw, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` in autocommit mode."""
        before, raw.autocommit = raw.autocommit, True
        try:
            return await super().answers(raw, statements)
        finally:
            raw.autocommit = before

    def terminate(self, raw: Raw) -> None:
        """Close at once."""
        raw.drop()
