"""What every adapter of an asyncio driver keeps while all is well: modes, transactions, cursors."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import inspect
import pickle
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from ...core.view.node import Report, Role
from ...errors import ClusterError, NoNodeAvailable, TransactionLost, bind
from .async_subject import AsyncSubject
from .subject import SQL


def _in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(self: AsyncWorkContract, *args: Any, **fixtures: Any) -> None:
        self.runner.run(test(self, *args, **fixtures))

    return run


def _wrap_tests(cls: type) -> None:
    """Make plain tests of a class's coroutines: pytest alone does not run those."""
    for name, test in list(vars(cls).items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            setattr(cls, name, _in_loop(test))


class AsyncWorkContract:
    """What every driver keeps while all is well, and the fixtures.  Tests may be coroutines."""

    for_servers: ClassVar = False

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
        assert self.for_servers is served, "AsyncServerContract is for servers, and only for them"

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

    async def test_our_errors_have_the_codes_of_the_drivers(self, subject: AsyncSubject, raw: Any) -> None:
        """What a program reads from the driver's error, it reads from ours that was raised from it; also in another
        process.
        """
        driver, ours = subject.driver, bind(TransactionLost, subject.driver.operational_error)("lost")
        with pytest.raises(driver.error) as failed:
            await driver.ask(raw, ["SELEKT"])
        ours.__cause__ = failed.value
        codes = [
            (facts.sqlstate, facts.errno)
            for facts in (
                driver.facts(one, raw)
                for one in (failed.value, ours, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours))
            )
        ]
        assert set(codes) == {codes[0]}
        assert str(ours) == "lost"

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


_wrap_tests(AsyncWorkContract)
