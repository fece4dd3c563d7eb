"""What is tested: an adapter of an asyncio driver, and a server for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from ...core.faults import Facts
from ...drivers.contract import AsyncDriver, Target
from .awaiting import until
from .subject import SQL


@dataclasses.dataclass(frozen=True)
class AsyncSubject:
    """An adapter and a server for it.  ``sql`` replaces statements of `contract.SQL`."""

    driver: AsyncDriver
    target: Target
    sql: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def say(self, name: str) -> str:
        """Return the statement called ``name``; fail the test where none is known."""
        known = {**SQL.get(self.driver.dialect.name, {}), **self.sql}
        if name not in known:
            pytest.fail(
                f"no statement {name!r} is known for {self.driver.dialect.name}: give it, AsyncSubject(sql=...)"
            )
        return known[name]

    async def connect(self, timeout: float = 5.0, **changes: Any) -> Any:
        """Open a connection to the target, with other fields."""
        return await self.driver.connect(dataclasses.replace(self.target, **changes), timeout)

    async def run(self, raw: Any, *statements: str) -> list[tuple[Any, ...]]:
        """Run the statements through a cursor, as a user does; return the rows of the last."""
        cursor = await self.driver.cursor(raw, (), {})
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            await cursor.execute(statement)
            rows = [tuple(row) for row in await cursor.fetchall()] if cursor.description else []
        await self.driver.close_cursor(cursor)
        return rows

    async def facts_of(self, raw: Any, *statements: str) -> Facts:
        """Run the statements on ``raw`` until one fails; return what its error proves."""
        with pytest.raises(Exception) as failed:  # noqa: PT011 - which error it is is the driver's affair
            await self.run(raw, *statements)
        return self.driver.facts(failed.value, raw)

    async def facts_of_dial(self, timeout: float = 5.0, **changes: Any) -> Facts:
        """Fail to connect; return what the error proves."""
        with pytest.raises(Exception) as failed:  # noqa: PT011 - as above
            await self.connect(timeout, **changes)
        return self.driver.facts(failed.value, None)

    async def kill(self, raw: Any) -> None:
        """End the session of ``raw`` on the server, and wait until it is gone; the loop runs meanwhile."""
        [[(number,)]] = await self.driver.ask(raw, [self.say("me")])
        await self.kill_session(number)

    async def kill_session(self, number: int) -> None:
        """End that session, and wait until it is gone."""
        killer = await self.connect()
        await self.driver.ask(killer, [self.say("kill").format(number)])
        await self.gone(killer, number)
        await self.driver.close(killer)

    async def gone(self, raw: Any, number: int) -> None:
        """Wait until the server has no session of that number."""

        async def none() -> bool:
            return await self.driver.ask(raw, [self.say("alive").format(number)]) == [[(0,)]]

        await until(none)
