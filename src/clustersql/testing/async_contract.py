"""The contract that every adapter of an asyncio driver keeps, as tests to run on your own against a real server.

Subclass the class that fits in a test file, and say by a fixture what to test; no plugin of pytest is needed::

    class TestMyDriver(AsyncServerContract):
        @pytest.fixture
        def subject(self, mariadb_server):
            return AsyncSubject(load_async("mydriver"), Target(host="127.0.0.1", port=mariadb_server.port(), user="app", ...))

`AsyncDriverContract` is for every driver, `AsyncServerContract` adds what one of a server keeps.  Each test has an event loop of
its own.  Nothing is skipped: where the adapter says that it cannot do something (`Abilities`), the tests demand the answer
that it must then give.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import inspect
import os
import pickle
import socket
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from ..core.faults import Facts, Fault
from ..core.node import Report, Role
from ..drivers.contract import AsyncDriver, Target
from ..errors import ClusterError, NoNodeAvailable, bind
from .contract import SQL

__all__ = ["AsyncDriverContract", "AsyncServerContract", "AsyncSubject"]

PATIENCE = 20.0
"""Seconds after which what should have happened has not."""


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

        await _until(none)


def _in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(self: AsyncDriverContract, *args: Any, **fixtures: Any) -> None:
        self.runner.run(test(self, *args, **fixtures))

    return run


def _wrap_tests(cls: type) -> None:
    """Make plain tests of a class's coroutines: pytest alone does not run those."""
    for name, test in list(vars(cls).items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            setattr(cls, name, _in_loop(test))


class AsyncDriverContract:
    """What every driver keeps.  Inherit it; ``subject`` is the only fixture to give.  Tests may be coroutines."""

    runner: asyncio.Runner
    """The event loop of the running test."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _wrap_tests(cls)

    @pytest.fixture(autouse=True)
    def _loop(self) -> Iterator[None]:
        with asyncio.Runner() as self.runner:
            yield
        gc.collect()  # what a test left behind is complained of in that test

    @pytest.fixture
    def subject(self) -> AsyncSubject:
        """The adapter and the server under test."""
        raise NotImplementedError("give a fixture called subject")

    @pytest.fixture
    def raw(self, _loop: None, subject: AsyncSubject) -> Iterator[Any]:
        """A connection, closed after the test."""
        yield from self._connection(subject)

    @pytest.fixture
    def other(self, _loop: None, subject: AsyncSubject) -> Iterator[Any]:
        """A second connection."""
        yield from self._connection(subject)

    def _connection(self, subject: AsyncSubject) -> Iterator[Any]:
        raw = self.runner.run(subject.connect())
        yield raw
        self.runner.run(subject.driver.close(raw))

    @pytest.fixture
    def table(self, subject: AsyncSubject, raw: Any, other: Any) -> Iterator[str]:
        """A table with the key ``id``, and two rows in it."""
        name = f"contract_{uuid4().hex[:12]}"
        keeper = self.runner.run(subject.connect())
        rows = f"INSERT INTO {name} VALUES (1, 0), (2, 0)"
        self.runner.run(subject.run(keeper, f"CREATE TABLE {name} (id INT PRIMARY KEY, n INT)", rows))
        assert self.runner.run(subject.driver.commit(keeper))
        yield name
        for conn in (raw, other):  # a transaction that a failed test left open would block the DROP for ever
            subject.driver.terminate(conn)
        self.runner.run(subject.run(keeper, f"DROP TABLE {name}"))
        self.runner.run(subject.driver.commit(keeper))
        self.runner.run(subject.driver.close(keeper))

    @staticmethod
    def _tells(subject: AsyncSubject, raw: Any, truth: bool) -> None:
        """It tells the truth about an open transaction; None only where it says that it may not know."""
        told = subject.driver.in_transaction(raw)
        assert told is truth or (told is None and not subject.driver.abilities.transaction_status)

    # Who it is

    def test_the_whole_contract_is_asked(self, subject: AsyncSubject) -> None:
        """A class that fits less than it could would leave checks out unseen."""
        served = subject.target.host is not None or subject.target.port is not None
        assert isinstance(self, AsyncServerContract) is served, "AsyncServerContract is for servers, and only for them"

    def test_it_names_itself(self, subject: AsyncSubject) -> None:
        driver = subject.driver
        assert driver.name
        assert driver.dialect.name in (*SQL, "generic")
        for kind in (driver.operational_error, driver.interface_error):
            assert issubclass(kind, driver.error)

    @pytest.mark.parametrize("kind", [ClusterError, *ClusterError.__subclasses__()])
    def test_our_errors_are_also_the_drivers(self, subject: AsyncSubject, kind: type[ClusterError]) -> None:
        base = subject.driver.operational_error
        error = bind(kind, base)("why")
        again = pickle.loads(pickle.dumps(error))
        for each in (error, again):
            assert isinstance(each, kind)
            assert isinstance(each, base)
            assert isinstance(each, subject.driver.error)
            assert str(each) == "why"
        assert type(again) is type(error)

    def test_our_error_keeps_each_nodes_error(self, subject: AsyncSubject) -> None:
        error = bind(NoNodeAvailable, subject.driver.operational_error)("none", {"n1": OSError("gone")})
        assert list(pickle.loads(pickle.dumps(error)).errors) == ["n1"]

    # Asking

    async def test_it_asks_and_leaves_no_transaction(self, subject: AsyncSubject, raw: Any) -> None:
        driver = subject.driver
        for mode in (True, False):
            await driver.set_autocommit(raw, mode)
            assert await driver.ask(raw, ["SELECT 1", "SELECT 2"]) == [[(1,)], [(2,)]]
            assert driver.in_transaction(raw) is not True
            with pytest.raises(driver.error):
                await driver.ask(raw, ["SELEKT"])
            assert driver.in_transaction(raw) is not True
            assert driver.autocommit(raw) is mode

    async def test_the_probe_tells_a_role(self, subject: AsyncSubject, raw: Any) -> None:
        report = subject.driver.dialect.report(await subject.driver.ask(raw, subject.driver.dialect.probe))
        assert isinstance(report, Report)
        assert report.role is Role.PRIMARY
        assert subject.driver.pushed_role(raw) in (None, Role.PRIMARY)

    # Transactions and modes

    async def test_it_is_not_in_autocommit_mode_at_first(self, subject: AsyncSubject, raw: Any) -> None:
        """As PEP 249 has it."""
        assert subject.driver.autocommit(raw) is False

    async def test_autocommit_is_set_and_told(self, subject: AsyncSubject, raw: Any) -> None:
        for mode in (True, False, True, True):
            await subject.driver.set_autocommit(raw, mode)
            assert subject.driver.autocommit(raw) is mode

    async def test_a_transaction_begins_by_itself_and_commits(
        self, subject: AsyncSubject, raw: Any, other: Any, table: str
    ) -> None:
        driver = subject.driver
        self._tells(subject, raw, False)
        await subject.run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        self._tells(subject, raw, True)
        assert await driver.ask(other, [f"SELECT n FROM {table} WHERE id = 1"]) == [[(0,)]]
        assert await driver.commit(raw) is True
        self._tells(subject, raw, False)
        assert await driver.ask(other, [f"SELECT n FROM {table} WHERE id = 1"]) == [[(1,)]]

    async def test_a_rollback_undoes(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        await subject.run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1", f"UPDATE {table} SET n = 2 WHERE id = 2")
        await subject.driver.rollback(raw)
        self._tells(subject, raw, False)
        assert await subject.driver.ask(raw, [f"SELECT DISTINCT n FROM {table}"]) == [[(0,)]]

    async def test_nothing_to_end_is_no_error(self, subject: AsyncSubject, raw: Any) -> None:
        assert await subject.driver.commit(raw) is True
        await subject.driver.rollback(raw)

    async def test_in_autocommit_mode_each_statement_is_committed(
        self, subject: AsyncSubject, raw: Any, other: Any, table: str
    ) -> None:
        await subject.driver.set_autocommit(raw, True)
        await subject.run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        self._tells(subject, raw, False)
        await subject.driver.rollback(raw)
        assert await subject.driver.ask(other, [f"SELECT n FROM {table} WHERE id = 1"]) == [[(1,)]]

    async def test_a_transaction_that_begin_opened_is_told(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        """In autocommit mode too, where none is to be expected."""
        await subject.driver.set_autocommit(raw, True)
        for statement in (subject.say("begin"), f"SELECT * FROM {table}", f"UPDATE {table} SET n = 1"):
            await subject.run(raw, statement)
            self._tells(subject, raw, True)
        await subject.run(raw, "ROLLBACK")
        self._tells(subject, raw, False)
        assert await subject.driver.ask(raw, [f"SELECT DISTINCT n FROM {table}"]) == [[(0,)]]

    async def test_the_drivers_own_methods_begin_too(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        for name, own in subject.driver.methods.items():
            values = ([()],) if name == "executemany" else ()
            await own(raw, f"UPDATE {table} SET n = n + 1", *values)
            self._tells(subject, raw, True)
            await subject.driver.rollback(raw)
        assert await subject.driver.ask(raw, [f"SELECT DISTINCT n FROM {table}"]) == [[(0,)]]

    async def test_of_a_closed_connection_no_transaction_is_denied(
        self, subject: AsyncSubject, raw: Any, table: str
    ) -> None:
        """Its COMMIT may have got through or not: nobody may conclude that there was nothing to lose."""
        await subject.run(raw, f"UPDATE {table} SET n = n")
        await subject.driver.close(raw)
        assert subject.driver.in_transaction(raw) is not False

    # Cursors

    async def test_a_cursor_gives_rows(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        cursor = await subject.driver.cursor(raw, (), {})
        await cursor.execute(f"SELECT id, n FROM {table} ORDER BY id")
        assert [column[0] for column in cursor.description] == ["id", "n"]
        assert tuple(await cursor.fetchone()) == (1, 0)
        assert [tuple(row) for row in await cursor.fetchmany(5)] == [(2, 0)]
        assert await cursor.fetchone() is None
        await cursor.execute(f"UPDATE {table} SET n = 7")
        assert cursor.rowcount == 2
        assert not cursor.description
        await subject.driver.close_cursor(cursor)

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

    async def test_a_healthy_idle_connection_is_not_stale(self, subject: AsyncSubject, raw: Any) -> None:
        assert not subject.driver.is_stale(raw)
        await subject.run(raw, "SELECT 1")
        await subject.driver.rollback(raw)
        await asyncio.sleep(0.05)
        assert not subject.driver.is_stale(raw)
        assert not subject.driver.is_closed(raw)

    # Waking, cancelling and closing

    async def test_abort_tells_what_it_did_to_an_idle_connection(self, subject: AsyncSubject, raw: Any) -> None:
        """With a descriptor the connection is dead and known to be; without one it is interrupted at most, and stays good."""
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
        await _until(ended)
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
        before = _descriptors()
        for ends in (subject.driver.close, subject.driver.terminate):
            gone = await subject.connect()
            await subject.run(gone, "SELECT 1")
            if (closing := ends(gone)) is not None:
                await closing

        async def freed() -> bool:
            return _descriptors() <= before

        await _until(freed)

    def test_terminate_after_the_end_of_its_loop_is_quiet(self, subject: AsyncSubject) -> None:
        """A program that closed its loop before its pool: nothing is raised, warned of or left open."""
        gc.collect()
        before = _descriptors()
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
        self.runner.run(_until(lambda: _answer(_descriptors() <= before)))


_wrap_tests(AsyncDriverContract)


class AsyncServerContract(AsyncDriverContract):
    """What a driver of a server keeps besides: dials that fail, sessions that end."""

    # Connecting

    async def test_it_tells_the_sessions_number(self, subject: AsyncSubject, raw: Any) -> None:
        [[(number,)]] = await subject.driver.ask(raw, [subject.say("me")])
        assert subject.driver.session_id(raw) in (number, None)

    async def test_a_closed_port_is_lost_and_unsent(self, subject: AsyncSubject) -> None:
        facts = await subject.facts_of_dial(port=_closed_port())
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    @pytest.mark.parametrize(
        "mistake", [{"password": "wrong"}, {"database": "no_such_database"}], ids=["password", "database"]
    )
    async def test_a_mistake_of_configuration(self, subject: AsyncSubject, mistake: Mapping[str, Any]) -> None:
        facts = await subject.facts_of_dial(**mistake)
        assert (facts.fault, facts.not_sent) == (Fault.MISCONFIGURED, True)

    async def test_a_deaf_server_is_given_up_and_leaves_nothing(self, subject: AsyncSubject) -> None:
        """It accepts and never answers: the handshake has a deadline too."""
        with _deaf_port() as port:
            before = _descriptors()
            with pytest.raises(subject.driver.error) as failed:
                await asyncio.wait_for(subject.connect(0.5, port=port), PATIENCE)
            await self._no_more_than(before)
        facts = subject.driver.facts(failed.value, None)
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    async def test_a_cancelled_dial_leaves_nothing(self, subject: AsyncSubject) -> None:
        """Cancelled in the handshake, and at any of the first moments of a dial that would succeed."""
        await subject.driver.close(await subject.connect())  # what the driver opens once is open now
        with _deaf_port() as port:
            before = _descriptors()
            await _cancelled(subject.connect(port=port), 0.3)
            await self._no_more_than(before)
        before = _descriptors()
        for moment in range(12):
            dialled = await _cancelled(subject.connect(), moment * 0.002)
            if dialled is not None:
                subject.driver.terminate(dialled)
        await self._no_more_than(before)

    @staticmethod
    async def _no_more_than(before: int) -> None:
        gc.collect()
        await _until(lambda: _answer(_descriptors() <= before))

    async def test_the_loop_runs_while_it_dials(self, subject: AsyncSubject) -> None:
        with _deaf_port() as port:
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
        await _until(lambda: _answer(subject.driver.is_stale(raw)))

    def test_it_is_stale_though_the_loop_has_not_run(self, subject: AsyncSubject, raw: Any) -> None:
        """The end of file waits in the kernel."""
        [[(number,)]] = self.runner.run(subject.driver.ask(raw, [subject.say("me")]))
        with asyncio.Runner() as elsewhere:
            elsewhere.run(subject.kill_session(number))
            elsewhere.run(_until(lambda: _answer(subject.driver.is_stale(raw))))

    def test_terminate_after_the_end_of_its_loop_ends_the_session(self, subject: AsyncSubject, raw: Any) -> None:
        with asyncio.Runner() as runner:
            lost = runner.run(subject.connect())
            [[(number,)]] = runner.run(subject.driver.ask(lost, [subject.say("me")]))
        subject.driver.terminate(lost)
        self.runner.run(subject.gone(raw, number))


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it holds; fail after `PATIENCE` seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await holds():
            await asyncio.sleep(0.02)


async def _answer(value: bool) -> bool:
    return value


async def _cancelled(call: Coroutine[Any, Any, Any], after: float) -> Any:
    """Cancel the call after so many seconds; return its result if it was quicker."""
    task = asyncio.create_task(call)
    await asyncio.wait([task], timeout=after)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def _closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _deaf_port() -> Iterator[int]:
    """A port that the kernel accepts on and nobody serves, like a frozen server's."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(8)
        yield sock.getsockname()[1]
