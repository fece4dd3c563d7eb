"""When a node was asked, on both APIs: a position is of then or later, however long its answer was on the way."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

from clustersql.aio import dial as aio_dial
from clustersql.core.view.node import Report, Role
from clustersql.sync import dial as sync_dial

DIALECT = SimpleNamespace(
    probe=("where are you",),
    report=lambda answers: Report(Role.PRIMARY, position=answers),
    ask_further=lambda report: (),
)


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


def test_a_question_s_time_runs_from_when_it_is_put() -> None:
    """What went by before was not the node's: a thread had to be started, or a loop to come to it."""
    settings: Any = SimpleNamespace(connect_timeout=9.0)
    driver: Any = SimpleNamespace(received=lambda raw: 7, has_answered=lambda raw, since: since == 7)
    topology: Any = SimpleNamespace(settings=settings, name="shop")
    nothing: Any = lambda *_: None  # noqa: E731
    for attempt in (
        sync_dial.Attempt(topology, driver, "a", nothing, nothing, 5.0),
        aio_dial.Attempt(topology, driver, aio_dial.Background("shop"), "a", nothing, nothing, 5.0),
    ):
        time.sleep(0.05)
        put = time.monotonic()
        attempt.asks("raw")
        assert put + 5.0 <= attempt.deadline <= time.monotonic() + 5.0
        for most, deadline in ((100.0, put + 15.0), (12.0, attempt.began + 12.0)):
            attempt.heed(put + 10.0, most)
            assert attempt.deadline == deadline
        attempt.redial()
        assert attempt.deadline >= put + 9.0


def test_a_dial_that_is_cut_for_being_late_is_late_however_fast_its_thread_wakes() -> None:
    """It wakes with the error of a connection that has ended, which must not be told as what the node did."""
    cut = threading.Event()
    threads: list[threading.Thread] = []
    told: list[tuple[bool, BaseException | None]] = []

    class Name(str):
        def __repr__(self) -> str:
            threads[0].join(
                10
            )  # whoever abandons is in the middle of it, and the thread that was woken comes to its end
            return "'a'"

    def works(attempt: Any) -> Any:
        threads.append(threading.current_thread())
        attempt.hold("raw")
        cut.wait(10)
        raise ConnectionError("the server has closed the connection")

    driver: Any = SimpleNamespace(abort=lambda raw: cut.set())
    topology: Any = SimpleNamespace(settings=SimpleNamespace(connect_timeout=9.0), name="shop")
    attempt = sync_dial.Attempt(topology, driver, Name("a"), works, lambda one: told.append((one.late, one.error)))
    attempt.start()
    while attempt.held is None:
        time.sleep(0.001)
    attempt.abandon()
    [(late, error)] = told
    assert late
    assert isinstance(error, TimeoutError)
