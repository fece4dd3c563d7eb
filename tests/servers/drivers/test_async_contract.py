"""The contract of asyncio drivers, for all of them on real servers."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from clustersql.drivers import load_async
from clustersql.drivers.base import sockets
from clustersql.drivers.contract import Abilities, Target
from clustersql.testing.async_contract import AsyncDriverContract, AsyncServerContract, AsyncSubject


def _subject(driver: str, port: int) -> AsyncSubject:
    return AsyncSubject(
        load_async(driver), Target(host="127.0.0.1", port=port, user="app", password="secret", database="app")
    )


def _patience(subject: AsyncSubject, raw: Any) -> tuple[int, int]:
    """Whether the connection has keepalive, and its TCP_USER_TIMEOUT."""
    driver: Any = subject.driver
    with socket.socket(fileno=os.dup(driver.descriptor(raw))) as twin:
        return (
            twin.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        )


async def _cancel(subject: AsyncSubject, raw: Any) -> None:
    """Cancel a call in a statement that would take half a minute."""
    call = asyncio.create_task(subject.run(raw, subject.say("sleep")))
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize(
    ("driver", "abilities"),
    [
        ("psycopg", Abilities(True, True, True, True, shared=True)),
        ("asyncpg", Abilities(True, True, True, True, shared=True)),
        ("aiomysql", Abilities(True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True)),
        ("asyncmy", Abilities(True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True)),
        ("aiosqlite", Abilities(False, True, True, True, mode_commits=True, reset_keeps_hook=True)),
    ],
)
def test_no_driver_claims_less_than_it_can(driver: str, abilities: Abilities) -> None:
    """The contract asks less of one that does."""
    assert load_async(driver).abilities == abilities


class TestPostgres(AsyncServerContract):
    @pytest.fixture(params=["psycopg", "asyncpg"])
    def subject(self, request: Any, postgres_cluster: Any) -> AsyncSubject:
        return _subject(request.param, postgres_cluster.port(postgres_cluster.primary))

    async def test_a_vanished_peer_is_noticed(self, subject: AsyncSubject, raw: Any) -> None:
        assert _patience(subject, raw) == (1, sockets.USER_TIMEOUT)

    async def test_the_sessions_number_is_known(self, subject: AsyncSubject, raw: Any) -> None:
        assert subject.driver.session_id(raw)

    async def test_after_a_cancellation_the_connection_is_good(self, subject: AsyncSubject, raw: Any) -> None:
        """In a failed transaction: the driver had the server cancel the statement.  support.md says so."""
        await _cancel(subject, raw)
        await asyncio.wait_for(subject.driver.rollback(raw), 20)
        assert not subject.driver.is_closed(raw)
        assert await subject.run(raw, "SELECT 1") == [(1,)]

    async def test_a_failed_transaction_does_not_commit(self, subject: AsyncSubject, raw: Any, table: str) -> None:
        """PostgreSQL answers its COMMIT with ROLLBACK, and no error."""
        await subject.run(raw, f"INSERT INTO {table} VALUES (5, 5)")
        await subject.facts_of(raw, "SELEKT")
        self._tells(subject, raw, True)
        assert await subject.driver.commit(raw) is False
        assert await subject.driver.ask(raw, [f"SELECT count(*) FROM {table}"]) == [[(2,)]]

    async def test_reset_gives_the_first_state_back(self, subject: AsyncSubject, raw: Any) -> None:
        """What the driver had prepared is gone on the server then, and must not be used again."""
        driver = subject.driver
        await subject.run(raw, "SELECT 1")
        await driver.rollback(raw)
        await driver.ask(raw, ["SET application_name = 'tenant'", *driver.dialect.read_only_on])
        assert await driver.reset(raw)
        [[(name,)]] = await driver.ask(raw, ["SHOW application_name"])
        assert name != "tenant"
        assert await subject.run(raw, "SELECT 1") == [(1,)]
        for own in driver.methods.values():
            if own.__name__ != "executemany":
                await own(raw, "SELECT 1")

    async def test_a_standby_is_a_replica(self, subject: AsyncSubject, postgres_cluster: Any) -> None:
        raw = await subject.connect(port=postgres_cluster.port("n2"))
        report = subject.driver.dialect.report(await subject.driver.ask(raw, subject.driver.dialect.probe))
        assert report.role.value == "replica"
        assert subject.driver.pushed_role(raw) is report.role
        await subject.driver.close(raw)

    async def test_a_notification_is_no_death(self, subject: AsyncSubject, raw: Any, other: Any) -> None:
        await subject.run(raw, "LISTEN contract")
        await subject.driver.commit(raw)
        await subject.driver.ask(other, ["NOTIFY contract"])
        assert await subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]
        assert not subject.driver.is_stale(raw)


class TestMariaDB(AsyncServerContract):
    @pytest.fixture(params=["aiomysql", "asyncmy"])
    def subject(self, request: Any, mariadb_server: Any) -> AsyncSubject:
        return _subject(request.param, mariadb_server.port())

    async def test_reset_gives_the_first_state_back(self, subject: AsyncSubject, raw: Any) -> None:
        """The character set too, which the server would set to its own."""
        driver = subject.driver
        asked = ["SELECT DATABASE(), @@sql_mode, @@character_set_client, @@collation_connection, @a, @@tx_read_only"]
        await driver.set_autocommit(raw, True)
        before = await driver.ask(raw, asked)
        await driver.ask(
            raw,
            [
                "SET @a = 1",
                "SET sql_mode = 'ANSI'",
                "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
                *driver.dialect.read_only_on,
                "USE information_schema",
            ],
        )
        assert await driver.reset(raw)
        assert await driver.ask(raw, asked) == before

    async def test_a_vanished_peer_is_noticed(self, subject: AsyncSubject, raw: Any) -> None:
        assert _patience(subject, raw) == (1, sockets.USER_TIMEOUT)

    async def test_the_sessions_number_is_known(self, subject: AsyncSubject, raw: Any) -> None:
        assert subject.driver.session_id(raw)

    async def test_after_a_cancellation_the_connection_is_closed(self, subject: AsyncSubject, raw: Any) -> None:
        """And says so where it is used again, before a byte is sent."""
        await _cancel(subject, raw)
        assert subject.driver.is_closed(raw)
        facts = await subject.facts_of(raw, "SELECT 1")
        assert (facts.fault.value, facts.lost, facts.not_sent) == ("lost", True, True)

    async def test_a_demoted_server_refuses_and_says_replica(
        self, subject: AsyncSubject, raw: Any, table: str, mariadb_server: Any
    ) -> None:
        driver = subject.driver
        mariadb_server.set_read_only("n1")
        try:
            facts = await subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
            report = driver.dialect.report(await driver.ask(raw, driver.dialect.probe))
        finally:
            mariadb_server.set_read_only("n1", False)
        assert (facts.fault.value, facts.undone_at_commit) == ("read-only", True)
        assert (report.role.value, report.why) == ("replica", "read_only is on")

    async def test_a_read_opens_a_transaction_that_is_never_denied(
        self, subject: AsyncSubject, raw: Any, table: str
    ) -> None:
        """The drivers' flag forgets it."""
        await subject.run(raw, f"SELECT * FROM {table}")
        assert subject.driver.in_transaction(raw) is not False

    async def test_a_cursor_class_is_the_users_alone(self, subject: AsyncSubject, raw: Any) -> None:
        cursor = await subject.driver.cursor(raw, (subject.driver.module.cursors.DictCursor,), {})
        await cursor.execute("SELECT 1 AS n")
        assert await cursor.fetchall() in ([{"n": 1}], ({"n": 1},))
        await subject.driver.close_cursor(cursor)

    async def test_arguments_of_a_url_are_numbers(self, subject: AsyncSubject) -> None:
        raw = await subject.connect(arguments={"connect_timeout": "7", "autocommit": "true"})
        assert subject.driver.autocommit(raw) is True
        await subject.driver.close(raw)


class TestSQLite(AsyncDriverContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> AsyncSubject:
        return AsyncSubject(load_async("aiosqlite"), Target(database=str(tmp_path / "contract.db")))

    async def test_a_file_in_no_folder_is_lost_and_unsent(self, subject: AsyncSubject, tmp_path: Path) -> None:
        facts = await subject.facts_of_dial(database=str(tmp_path / "nowhere" / "contract.db"))
        assert (facts.fault.value, facts.lost, facts.not_sent) == ("lost", True, True)

    async def test_a_lock_of_another_connection_is_the_statements_own(
        self, subject: AsyncSubject, raw: Any, other: Any, table: str
    ) -> None:
        await subject.driver.ask(raw, ["PRAGMA busy_timeout = 0"])
        await subject.run(other, f"UPDATE {table} SET n = 5")
        facts = await subject.facts_of(raw, f"UPDATE {table} SET n = 6")
        assert (facts.fault.value, facts.lost) == ("statement", False)

    async def test_a_row_factory_is_the_users_alone(self, subject: AsyncSubject, raw: Any) -> None:
        raw.row_factory = dict
        assert await subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]

    async def test_after_a_cancellation_the_statement_goes_on(self, subject: AsyncSubject, raw: Any) -> None:
        """Until it is interrupted; the next call waits behind it."""
        await _cancel(subject, raw)
        behind = asyncio.create_task(subject.run(raw, "SELECT 1"))
        await asyncio.sleep(0.3)
        assert not behind.done()
        assert subject.driver.abort(raw)
        assert await asyncio.wait_for(behind, 20) == [(1,)]

    async def test_its_thread_ends(self, subject: AsyncSubject) -> None:
        """It is no daemon: one that is left would keep the program from ending."""
        before = set(threading.enumerate())
        closed, ended, busy = await subject.connect(), await subject.connect(), await subject.connect()
        call = asyncio.create_task(subject.run(busy, subject.say("sleep")))
        await asyncio.sleep(0.3)
        dialled = asyncio.create_task(subject.connect())
        while len(threads := set(threading.enumerate()) - before) < 4:
            await asyncio.sleep(0)
        await subject.driver.close(closed)
        for task in (call, dialled):
            task.cancel()
        _, quick = await asyncio.gather(call, dialled, return_exceptions=True)
        for raw in [ended, busy] if isinstance(quick, BaseException) else [ended, busy, quick]:
            subject.driver.terminate(raw)
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0.01)
