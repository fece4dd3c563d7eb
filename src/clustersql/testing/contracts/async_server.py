"""What the adapter of an asyncio driver of a server keeps besides."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from ...core.faults import Fault
from ..ports import closed_port, deaf_port
from .async_driver import AsyncDriverContract
from .async_subject import AsyncSubject
from .awaiting import answer, cancelled, descriptors, until
from .background import PATIENCE


class AsyncServerContract(AsyncDriverContract):
    """What a driver of a server keeps besides: dials that fail, sessions that end."""

    for_servers: ClassVar = True

    async def test_an_answer_is_told_from_silence(self, subject: AsyncSubject, raw: Any) -> None:
        """Also while it waits for one: the silence of a node is what it is judged by."""
        driver = subject.driver
        assert not driver.has_answered(raw, driver.received(raw))
        call = asyncio.create_task(driver.ask(raw, [subject.say("nap")]))
        await asyncio.sleep(0.1)  # the driver's BEGIN may have an answer of its own
        before = driver.received(raw)
        await call
        assert driver.has_answered(raw, before) is driver.abilities.descriptor
        await driver.close(raw)
        assert driver.received(raw) is None
        assert not driver.has_answered(raw, before)

    # Connecting

    async def test_it_tells_the_sessions_number(self, subject: AsyncSubject, raw: Any) -> None:
        [[(number,)]] = await subject.driver.ask(raw, [subject.say("me")])
        assert subject.driver.session_id(raw) in (number, None)

    async def test_a_closed_port_is_lost_and_unsent(self, subject: AsyncSubject) -> None:
        facts = await subject.facts_of_dial(port=closed_port())
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    @pytest.mark.parametrize(
        "mistake", [{"password": "wrong"}, {"database": "no_such_database"}], ids=["password", "database"]
    )
    async def test_a_mistake_of_configuration(self, subject: AsyncSubject, mistake: Mapping[str, Any]) -> None:
        facts = await subject.facts_of_dial(**mistake)
        assert (facts.fault, facts.not_sent) == (Fault.MISCONFIGURED, True)

    async def test_a_deaf_server_is_given_up_and_leaves_nothing(self, subject: AsyncSubject) -> None:
        """It accepts and never answers: the handshake has a deadline too."""
        with deaf_port() as port:
            before = descriptors()
            with pytest.raises(subject.driver.error) as failed:
                await asyncio.wait_for(subject.connect(0.5, port=port), PATIENCE)
            await self._no_more_than(before)
        facts = subject.driver.facts(failed.value, None)
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    async def test_a_cancelled_dial_leaves_nothing(self, subject: AsyncSubject) -> None:
        """Cancelled in the handshake, and at any of the first moments of a dial that would succeed."""
        await subject.driver.close(await subject.connect())  # what the driver opens once is open now
        with deaf_port() as port:
            before = descriptors()
            await cancelled(subject.connect(port=port), 0.3)
            await self._no_more_than(before)
        before = descriptors()
        for moment in range(12):
            dialled = await cancelled(subject.connect(), moment * 0.002)
            if dialled is not None:
                subject.driver.terminate(dialled)
        await self._no_more_than(before)

    async def test_a_question_that_is_cancelled_as_its_answer_comes_leaves_nothing(self, subject: AsyncSubject) -> None:
        """At any of its moments, one of which has the answer in the socket already: nothing in it shows that the
        connection was shut down.
        """
        await subject.driver.close(await subject.connect())
        before = descriptors()
        for moment in range(30):
            raw = await subject.connect()
            asked = asyncio.create_task(subject.driver.ask(raw, ["SELECT 1"]))
            for _ in range(moment):
                await asyncio.sleep(0)
            time.sleep(0.01)  # the loop does not see it come
            asked.cancel()
            subject.driver.terminate(raw)  # at once, as a pool does that is closed
            await asyncio.wait([asked])
            assert subject.driver.is_closed(raw), moment
        await self._no_more_than(before)

    @staticmethod
    async def _no_more_than(before: int) -> None:
        gc.collect()
        await until(lambda: answer(descriptors() <= before))

    async def test_the_loop_runs_while_it_dials(self, subject: AsyncSubject) -> None:
        with deaf_port() as port:
            dial = asyncio.create_task(subject.facts_of_dial(0.5, port=port))
            turns = 0
            while not dial.done():
                await asyncio.sleep(0.01)
                turns += 1
        assert turns > 5
        await dial

    # What errors prove

    async def test_the_loser_of_a_deadlock_is_rolled_back(
        self, subject: AsyncSubject, raw: Any, other: Any, table: str
    ) -> None:
        """Two sessions that wait for each other's row locks."""
        await subject.run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        await subject.run(other, f"UPDATE {table} SET n = 2 WHERE id = 2")
        ended = await asyncio.gather(
            subject.run(raw, f"UPDATE {table} SET n = 1 WHERE id = 2"),
            subject.run(other, f"UPDATE {table} SET n = 2 WHERE id = 1"),
            return_exceptions=True,
        )
        failed = [
            (error, conn) for error, conn in zip(ended, (raw, other), strict=True) if isinstance(error, Exception)
        ]
        assert [subject.driver.facts(error, conn).fault for error, conn in failed] == [Fault.ROLLED_BACK]

    async def test_a_killed_session_is_lost(self, subject: AsyncSubject, raw: Any) -> None:
        await subject.kill(raw)
        facts = await subject.facts_of(raw, "SELECT 1")
        assert (facts.fault, facts.lost) == (Fault.LOST, True)
        assert subject.driver.is_closed(raw)

    async def test_a_session_killed_in_a_statement_is_lost(self, subject: AsyncSubject, raw: Any) -> None:
        [[(number,)]] = await subject.driver.ask(raw, [subject.say("me")])
        call = asyncio.create_task(subject.facts_of(raw, subject.say("sleep")))
        await asyncio.sleep(0.3)
        await subject.kill_session(number)
        facts = await asyncio.wait_for(call, PATIENCE)
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, False)

    async def test_a_lost_commit_is_lost(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        """Never True or False: the answer is not known."""
        await subject.run(raw, f"UPDATE {table} SET n = n")
        assert subject.driver.abort(raw)
        with pytest.raises(Exception) as failed:  # noqa: PT011 - which error it is is the driver's affair
            await subject.driver.commit(raw)
        facts = subject.driver.facts(failed.value, raw)
        assert (facts.fault, facts.lost) == (Fault.LOST, True)

    # Idle connections

    async def test_a_killed_idle_connection_is_stale(self, subject: AsyncSubject, raw: Any) -> None:
        """The loop ran meanwhile: the transport may have taken in the end of file."""
        await subject.kill(raw)
        await until(lambda: answer(subject.driver.is_stale(raw)))

    def test_it_is_stale_though_the_loop_has_not_run(self, subject: AsyncSubject, raw: Any) -> None:
        """The end of file waits in the kernel."""
        [[(number,)]] = self.runner.run(subject.driver.ask(raw, [subject.say("me")]))
        with asyncio.Runner() as elsewhere:
            elsewhere.run(subject.kill_session(number))
            elsewhere.run(until(lambda: answer(subject.driver.is_stale(raw))))

    def test_terminate_after_the_end_of_its_loop_ends_the_session(self, subject: AsyncSubject, raw: Any) -> None:
        with asyncio.Runner() as runner:
            lost = runner.run(subject.connect())
            [[(number,)]] = runner.run(subject.driver.ask(lost, [subject.say("me")]))
        subject.driver.terminate(lost)
        self.runner.run(subject.gone(raw, number))
