"""What every adapter of an asyncio driver keeps when something goes wrong, is cancelled or is closed."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from typing import Any

import pytest

from ...core.faults import Fault
from .async_subject import AsyncSubject
from .async_work import AsyncWorkContract
from .awaiting import answer, descriptors, until
from .background import PATIENCE
from .breaking import broken_in


class AsyncDriverContract(AsyncWorkContract):
    """What every driver keeps.  Inherit it; ``subject`` is the only fixture to give.  Tests may be coroutines."""

    # What errors prove

    async def test_the_statements_own_errors(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        for statement in ("SELEKT 1", f"INSERT INTO {table} VALUES (1, 1)", "SELECT * FROM no_such_table_at_all"):
            facts = await subject.facts_of(raw, statement)
            assert (facts.fault, facts.lost, facts.not_sent) == (Fault.STATEMENT, False, False), statement
            await subject.driver.rollback(raw)
            self._tells(subject, raw, False)

    async def test_a_refused_write(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        driver = subject.driver
        await driver.ask(raw, driver.dialect.read_only_on)
        facts = await subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
        assert (facts.fault, facts.lost) == (Fault.READ_ONLY, False)
        await driver.rollback(raw)
        await driver.ask(raw, driver.dialect.read_only_off)
        await subject.run(raw, f"INSERT INTO {table} VALUES (9, 9)")
        await driver.rollback(raw)

    async def test_a_connection_closed_here_is_lost_and_stale(self, subject: AsyncSubject, raw: Any) -> None:
        await subject.driver.close(raw)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_stale(raw)
        facts = await subject.facts_of(raw, "SELECT 1")
        assert (facts.lost, facts.not_sent) == (True, True)

    # Idle connections

    async def test_what_is_not_the_drivers_is_no_news(self, subject: AsyncSubject, raw: Any) -> None:
        """Whatever it looks like: a signal handler may raise a TimeoutError, which is an OSError, and a codec
        anything.
        """
        for error in (*broken_in(), asyncio.CancelledError()):
            assert subject.driver.facts(error, raw).fault is Fault.FOREIGN, error

    async def test_no_question_raises(self, subject: AsyncSubject, raw: Any) -> None:
        """Of a closed connection neither: who asks it is in the middle of another error, or was cancelled."""
        driver = subject.driver
        driver.terminate(raw)
        for question in (driver.session_id, driver.peer, driver.received, driver.in_transaction, driver.autocommit):
            question(raw)
        assert not driver.failed_transaction(raw)
        assert not driver.has_answered(raw, None)

    async def test_a_healthy_idle_connection_is_not_stale(self, subject: AsyncSubject, raw: Any) -> None:
        assert not subject.driver.is_stale(raw)
        await subject.run(raw, "SELECT 1")
        await subject.driver.rollback(raw)
        await asyncio.sleep(0.05)
        assert not subject.driver.is_stale(raw)
        assert not subject.driver.is_closed(raw)

    # Waking, cancelling and closing

    async def test_abort_tells_what_it_did_to_an_idle_connection(self, subject: AsyncSubject, raw: Any) -> None:
        """With a descriptor the connection is dead and known to be; without one it is interrupted at most, and stays
        good.
        """
        shut = subject.driver.abilities.descriptor
        assert subject.driver.abort(raw) or not shut
        assert subject.driver.is_stale(raw) is shut
        if shut:
            facts = await subject.facts_of(raw, "SELECT 1")
            assert (facts.fault, facts.lost) == (Fault.LOST, True)
        else:
            assert await subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]

    async def test_abort_wakes_a_call(self, subject: AsyncSubject, raw: Any) -> None:
        call = asyncio.create_task(subject.run(raw, subject.say("sleep")))

        async def ended() -> bool:  # on a busy machine the call may begin only now
            return call.done() or not subject.driver.abort(raw)

        await asyncio.sleep(0.3)
        assert subject.driver.abort(raw)
        await until(ended)
        with pytest.raises(Exception) as failed:  # noqa: PT011 - which error it is is the driver's affair
            await asyncio.wait_for(call, PATIENCE)
        facts = subject.driver.facts(failed.value, raw)
        assert facts.lost is subject.driver.abilities.descriptor
        assert facts.not_sent is False

    async def test_abort_of_a_closed_connection_harms_no_stranger(self, subject: AsyncSubject, raw: Any) -> None:
        """The descriptor's number is given to the next socket that opens."""
        await subject.driver.close(raw)
        await asyncio.sleep(0)
        left, right = socket.socketpair()
        with left, right:
            assert subject.driver.abort(raw) is False
            subject.driver.terminate(raw)
            left.sendall(b"x")
            assert right.recv(1) == b"x"

    async def test_a_cancelled_statement_ends_soon(self, subject: AsyncSubject, raw: Any) -> None:
        """The cancellation passes; then the connection can be closed at once, whatever state it is in."""
        call = asyncio.create_task(subject.run(raw, subject.say("sleep")))
        await asyncio.sleep(0.3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, PATIENCE)
        subject.driver.terminate(raw)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_stale(raw)

    async def test_closing_is_quiet(self, subject: AsyncSubject) -> None:
        closed, aborted, ended = await subject.connect(), await subject.connect(), await subject.connect()
        subject.driver.abort(aborted)
        for raw in (closed, closed, aborted):
            await subject.driver.close(raw)
        for _ in range(2):
            subject.driver.terminate(ended)
        await subject.driver.close(ended)
        assert [subject.driver.is_closed(raw) for raw in (closed, aborted, ended)] == [True, True, True]

    async def test_closing_leaves_no_descriptor(self, subject: AsyncSubject, raw: Any) -> None:
        before = descriptors()
        for ends in (subject.driver.close, subject.driver.terminate):
            gone = await subject.connect()
            await subject.run(gone, "SELECT 1")
            if (closing := ends(gone)) is not None:
                await closing

        async def freed() -> bool:
            return descriptors() <= before

        await until(freed)

    def test_terminate_after_the_end_of_its_loop_is_quiet(self, subject: AsyncSubject) -> None:
        """A program that closed its loop before its pool: nothing is raised, warned of or left open."""
        gc.collect()
        before = descriptors()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with asyncio.Runner() as runner:
                raw = runner.run(subject.connect())
                runner.run(subject.run(raw, "SELECT 1"))
            subject.driver.terminate(raw)
            assert subject.driver.is_closed(raw)
            del raw
            gc.collect()
        assert [str(warning.message) for warning in warned] == []
        self.runner.run(until(lambda: answer(descriptors() <= before)))
