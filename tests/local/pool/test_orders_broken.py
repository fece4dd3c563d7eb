"""An order to a node that something breaks into: its connection is lent to nobody, with an answer pending."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from support.fake import Error, FakeDriver, Raw, fake_cluster
from support.waiting import eventually

from clustersql.core.faults import Facts, Fault
from clustersql.nodes.dial import Order
from clustersql.sync.prober import Prober

ORDER = Order("KILL {}", 5, time.monotonic())
CASES = pytest.mark.parametrize(
    ("error", "kept"), [(ValueError("a value that cannot be decoded"), False), (Error("no such thread"), True)]
)


def facts(error: BaseException) -> Facts:
    return Facts(Fault.STATEMENT if isinstance(error, Error) else Fault.FOREIGN)


@CASES
def test_for_threads(error: Exception, kept: bool) -> None:
    closed: list[object] = []

    def ask(raw: object, statements: Any) -> Any:
        raise error

    driver: Any = SimpleNamespace(
        ask=ask,
        facts=lambda exc, raw: facts(exc),
        is_closed=lambda raw: raw in closed,
        close=closed.append,
        received=lambda raw: None,
        dialect=SimpleNamespace(uptime="", probe=()),
    )
    topology: Any = SimpleNamespace(
        name="shop",
        settings=SimpleNamespace(connect_timeout=9.0),
        addresses={"a": None},
        view=SimpleNamespace(nodes=()),
    )
    prober = Prober(topology, driver, lambda *_: None)
    prober._kept.keep("a", "raw", "")
    prober.say("a", ORDER)
    assert eventually(lambda: prober._sayings == {} and (closed or prober._kept.take("a") == "raw"))
    assert (closed == []) is kept


class Broken(FakeDriver):
    """Raises ``error`` when it is given an order."""

    error: Exception

    def facts(self, exc: BaseException, raw: Raw | None) -> Facts:
        return facts(exc)

    async def ask(self, raw: Raw, statements: Any) -> Any:
        if statements[0].startswith("KILL"):
            raise self.error
        return await super().ask(raw, statements)


@CASES
def test_for_tasks(error: Exception, kept: bool) -> None:
    async def main() -> None:
        driver = Broken()
        driver.error = error
        cluster, _ = fake_cluster("a", driver=driver)
        async with cluster.aopen() as db:
            await db.execute("SELECT 1")
            prober = db._pool()._prober
            raw = Raw(driver, "a")
            driver.open.add(raw)
            prober._kept.keep("a", raw, "")
            prober.say("a", ORDER)
            while prober._sayings.get("a"):
                await asyncio.sleep(0)
            assert raw.closed is not kept

    asyncio.run(main())
