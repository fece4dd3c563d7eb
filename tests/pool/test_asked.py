"""When a node was asked, on both APIs: a position is of then or later, however long its answer was on the way."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from clustersql.aio import dial as aio_dial
from clustersql.core.node import Report, Role
from clustersql.sync import dial as sync_dial

DIALECT = SimpleNamespace(probe=("where are you",), report=lambda answers: Report(Role.PRIMARY, position=answers))


def test_the_report_knows_when_it_was_asked_for() -> None:
    asked: list[float] = []

    def ask(raw: Any, statements: Any) -> int:
        asked.append(time.monotonic())
        return 7

    async def ask_in_the_loop(raw: Any, statements: Any) -> int:
        return ask(raw, statements)

    driver: Any = SimpleNamespace(dialect=DIALECT, ask=ask)
    async_driver: Any = SimpleNamespace(dialect=DIALECT, ask=ask_in_the_loop)
    reports = sync_dial.ask(driver, None), asyncio.run(aio_dial.ask(async_driver, None))
    for report, moment in zip(reports, asked, strict=True):
        assert report.position == 7
        assert report.asked is not None
        assert report.asked <= moment
