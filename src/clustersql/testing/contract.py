"""The contract that every driver adapter keeps, as tests to run on your own adapter against a real server.

Subclass it in a test file, and say by a fixture what to test::

    class TestMyDriver(DriverContract):
        @pytest.fixture
        def subject(self, mariadb_server):
            return Subject(load("mydriver"), Target(host="127.0.0.1", port=mariadb_server.port(), user="app", ...))

The user needs one database in which he may create tables; sessions are killed by himself.  What the adapter says it cannot do
(`Abilities`) is skipped, never assumed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from ..core.faults import Facts, Fault
from ..core.node import Report, Role
from ..drivers.contract import Driver, Target

__all__ = ["SQL", "DriverContract", "Subject"]

PATIENCE = 10.0
"""Seconds after which a call that should have woken has not."""

SQL: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "me": "SELECT pg_backend_pid()",
        "kill": "SELECT pg_terminate_backend({})",
        "sleep": "SELECT pg_sleep(30)",
        "begin": "BEGIN",
    },
    "mysql": {
        "me": "SELECT CONNECTION_ID()",
        "kill": "KILL CONNECTION {}",
        "sleep": "SELECT SLEEP(30)",
        "begin": "START TRANSACTION",
    },
    "sqlite": {
        "sleep": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "begin": "BEGIN",
    },
}
"""Statements by dialect; without ``kill`` the database has no sessions to end."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """An adapter and a server for it.  ``sql`` replaces statements of `SQL`."""

    driver: Driver
    target: Target
    sql: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def say(self, name: str) -> str:
        """Return the statement called ``name``; skip the test where the database has none."""
        statement = self.sql.get(name) or SQL.get(self.driver.dialect.name, {}).get(name)
        return statement or pytest.skip(f"{self.driver.dialect.name} has no {name}")

    def connect(self, **changes: Any) -> Any:
        """Open a connection to the target, with other fields."""
        return self.driver.connect(dataclasses.replace(self.target, **changes), 5.0)

    def facts_of(self, raw: Any, *statements: str) -> Facts:
        """Run the statements on ``raw`` until one fails; return what its error proves."""
        cursor = raw.cursor()
        with pytest.raises(self.driver.module.Error) as failed:  # noqa: PT012 - which of them fails is the database's affair
            for statement in statements:
                cursor.execute(statement)
                if cursor.description:
                    cursor.fetchall()
        return self.driver.facts(failed.value, raw)

    def kill(self, raw: Any) -> None:
        """End the session of ``raw`` on the server, and wait for the news to arrive."""
        [[(number,)]] = self.driver.ask(raw, [self.say("me")])
        killer = self.connect()
        with contextlib.closing(killer):
            self.driver.ask(killer, [self.say("kill").format(number)])
        time.sleep(0.2)


class DriverContract:
    """Inherit it; ``subject`` is the only fixture to give."""

    @pytest.fixture
    def subject(self) -> Subject:
        """The adapter and the server under test."""
        raise NotImplementedError("give a fixture called subject")

    @pytest.fixture
    def raw(self, subject: Subject) -> Iterator[Any]:
        """A connection, closed after the test."""
        raw = subject.connect()
        yield raw
        subject.driver.close(raw)

    @pytest.fixture
    def other(self, subject: Subject) -> Iterator[Any]:
        """A second connection."""
        other = subject.connect()
        yield other
        subject.driver.close(other)

    @pytest.fixture
    def table(self, subject: Subject, raw: Any, other: Any) -> Iterator[str]:
        """A table with the key ``id``, and two rows in it."""
        name = f"contract_{uuid4().hex[:12]}"
        keeper = subject.connect()
        subject.driver.set_autocommit(keeper, True)
        self._run(
            keeper, f"CREATE TABLE {name} (id INT PRIMARY KEY, n INT)", f"INSERT INTO {name} VALUES (1, 0), (2, 0)"
        )
        yield name
        for conn in (raw, other):  # a transaction that a failed test left open would block the DROP for ever
            subject.driver.close(conn)
        self._run(keeper, f"DROP TABLE {name}")
        subject.driver.close(keeper)

    @staticmethod
    def _run(raw: Any, *statements: str) -> None:
        cursor = raw.cursor()
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
        cursor.close()

    # Who it is

    def test_it_names_itself_and_its_dialect(self, subject: Subject) -> None:
        driver = subject.driver
        assert driver.name
        assert driver.module.apilevel == "2.0"
        assert issubclass(driver.operational_error, driver.module.Error)
        assert issubclass(driver.interface_error, driver.module.Error)

    # Connecting

    def test_a_closed_port_is_lost_and_unsent(self, subject: Subject) -> None:
        facts = self._refused(subject, port=_closed_port())
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    def test_a_wrong_password_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, password="wrong").fault is Fault.MISCONFIGURED

    def test_a_wrong_database_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, database="no_such_database").fault is Fault.MISCONFIGURED

    def test_a_deaf_server_is_given_up(self, subject: Subject) -> None:
        """It accepts and never answers: the handshake has a deadline too."""
        if not subject.driver.abilities.connect_timeout:
            pytest.skip("the driver has no connect timeout")
        with _deaf_port() as port:
            before = time.monotonic()
            facts = self._refused(subject, port=port, timeout=1.0)
        assert facts.fault is Fault.LOST
        assert time.monotonic() - before < 4.0

    def _refused(self, subject: Subject, timeout: float = 5.0, **changes: Any) -> Facts:
        if subject.target.port is None:
            pytest.skip("no server")
        with pytest.raises((subject.driver.module.Error, OSError)) as failed:
            subject.driver.connect(dataclasses.replace(subject.target, **changes), timeout)
        return subject.driver.facts(failed.value, None)

    # Asking

    def test_it_asks_and_leaves_no_transaction(self, subject: Subject, raw: Any) -> None:
        assert subject.driver.ask(raw, ["SELECT 1", "SELECT 2"]) == [[(1,)], [(2,)]]
        assert subject.driver.in_transaction(raw) is not True
        before = subject.driver.autocommit(raw)
        with pytest.raises(subject.driver.module.Error):
            subject.driver.ask(raw, ["SELEKT"])
        assert subject.driver.in_transaction(raw) is not True
        assert subject.driver.autocommit(raw) is before

    def test_the_probe_tells_a_role(self, subject: Subject, raw: Any) -> None:
        report = subject.driver.dialect.report(subject.driver.ask(raw, subject.driver.dialect.probe))
        assert isinstance(report, Report)
        assert report.role is Role.PRIMARY
        assert subject.driver.pushed_role(raw) in (None, Role.PRIMARY)

    # Modes

    def test_autocommit_is_set_and_told(self, subject: Subject, raw: Any) -> None:
        if not subject.driver.abilities.autocommit:
            pytest.skip("the driver has no autocommit mode")
        for mode in (True, False, True, True):
            subject.driver.set_autocommit(raw, mode)
            assert subject.driver.autocommit(raw) is mode

    def test_it_never_denies_an_open_transaction(self, subject: Subject, raw: Any, table: str) -> None:
        """Whatever opened it: a read, a write, an error in between, BEGIN in autocommit mode."""
        driver = subject.driver
        for statements in (
            [f"SELECT * FROM {table}"],
            [f"UPDATE {table} SET n = 1"],
            [f"SELECT * FROM {table}", "SELEKT"],
        ):
            driver.set_autocommit(raw, False)
            with contextlib.suppress(driver.module.Error):
                self._run(raw, *statements)
            if driver.dialect.name != "sqlite" or "UPDATE" in statements[0]:
                assert driver.in_transaction(raw) is not False, statements
            raw.rollback()
        driver.set_autocommit(raw, True)
        for statements in ([], [f"SELECT * FROM {table}"], [f"UPDATE {table} SET n = 1"]):
            self._run(raw, subject.say("begin"), *statements)
            assert driver.in_transaction(raw) is not False
            self._run(raw, "ROLLBACK")

    def test_it_tells_a_transaction_that_it_can_see(self, subject: Subject, raw: Any, table: str) -> None:
        if not subject.driver.abilities.transaction_status:
            pytest.skip("the driver does not tell")
        subject.driver.set_autocommit(raw, False)
        assert subject.driver.in_transaction(raw) is False
        self._run(raw, f"UPDATE {table} SET n = n")
        assert subject.driver.in_transaction(raw) is True
        raw.commit()
        assert subject.driver.in_transaction(raw) is False

    # What errors prove

    def test_the_statements_own_errors(self, subject: Subject, raw: Any, table: str) -> None:
        for statement in ("SELEKT 1", f"INSERT INTO {table} VALUES (1, 1)", "SELECT * FROM no_such_table_at_all"):
            facts = subject.facts_of(raw, statement)
            assert (facts.fault, facts.lost, facts.not_sent) == (Fault.STATEMENT, False, False), statement
            raw.rollback()

    def test_a_refused_write(self, subject: Subject, raw: Any, table: str) -> None:
        driver = subject.driver
        if not driver.dialect.read_only_on:
            pytest.skip("no read-only mode")
        driver.ask(raw, driver.dialect.read_only_on)
        facts = subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
        assert (facts.fault, facts.lost) == (Fault.READ_ONLY, False)
        raw.rollback()
        driver.ask(raw, driver.dialect.read_only_off)
        self._run(raw, f"INSERT INTO {table} VALUES (9, 9)")
        raw.rollback()

    def test_the_loser_of_a_deadlock_is_rolled_back(self, subject: Subject, raw: Any, other: Any, table: str) -> None:
        subject.say("kill")  # two sessions that wait for each other's row locks
        subject.driver.set_autocommit(raw, False)
        subject.driver.set_autocommit(other, False)
        self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 2")
        crossing = _Background(lambda: self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 1"))
        time.sleep(0.2)
        mine = _Background(lambda: self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 2"))
        failed = [(error, conn) for call, conn in ((mine, raw), (crossing, other)) if (error := call.error())]
        assert [subject.driver.facts(error, conn).fault for error, conn in failed] == [Fault.ROLLED_BACK]

    def test_a_killed_session_is_lost(self, subject: Subject, raw: Any) -> None:
        subject.kill(raw)
        facts = subject.facts_of(raw, "SELECT 1")
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, False)

    def test_a_closed_connection_sent_nothing(self, subject: Subject, raw: Any) -> None:
        cursor = raw.cursor()
        raw.close()
        assert subject.driver.is_closed(raw)
        with pytest.raises(subject.driver.module.Error) as failed:
            cursor.execute("SELECT 1")
        facts = subject.driver.facts(failed.value, raw)
        assert (facts.fault, facts.lost) == (Fault.LOST, True)

    # Idle connections

    def test_a_healthy_idle_connection_is_not_stale(self, subject: Subject, raw: Any) -> None:
        assert not subject.driver.is_stale(raw)
        self._run(raw, "SELECT 1")
        raw.rollback()
        assert not subject.driver.is_stale(raw)
        assert not subject.driver.is_closed(raw)

    def test_a_killed_idle_connection_is_stale(self, subject: Subject, raw: Any) -> None:
        if not subject.driver.abilities.descriptor:
            pytest.skip("the driver's descriptor is not known")
        subject.kill(raw)
        assert subject.driver.is_stale(raw)

    def test_a_notification_is_no_death_and_is_kept(self, subject: Subject, raw: Any, other: Any) -> None:
        if subject.driver.dialect.name != "postgresql":
            pytest.skip("no LISTEN")
        subject.driver.set_autocommit(raw, True)
        self._run(raw, "LISTEN contract")
        subject.driver.ask(other, ["NOTIFY contract"])
        time.sleep(0.2)
        assert not subject.driver.is_stale(raw)
        assert subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]
        subject.kill(raw)
        assert subject.driver.is_stale(raw)

    # Waking and closing

    def test_abort_wakes_a_call_in_another_thread(self, subject: Subject, raw: Any) -> None:
        sleeping = _Background(lambda: self._run(raw, subject.say("sleep")))
        time.sleep(0.3)
        before = time.monotonic()
        assert subject.driver.abort(raw)
        error = sleeping.error()
        assert time.monotonic() - before < 5.0
        assert error is not None
        facts = subject.driver.facts(error, raw)
        assert facts.lost is subject.driver.abilities.descriptor
        assert facts.not_sent is False

    def test_abort_of_a_closed_connection_harms_no_stranger(self, subject: Subject, raw: Any) -> None:
        """The descriptor's number is given to the next socket that opens."""
        subject.driver.close(raw)
        left, right = socket.socketpair()
        with left, right:
            assert subject.driver.abort(raw) is False
            left.sendall(b"x")
            assert right.recv(1) == b"x"

    def test_abort_leaves_no_descriptor(self, subject: Subject, raw: Any) -> None:
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        subject.driver.abort(raw)
        assert (len(os.listdir("/proc/self/fd")) if before else 0) == before

    def test_closing_is_quiet(self, subject: Subject) -> None:
        raw, aborted = subject.connect(), subject.connect()
        subject.driver.close(raw)
        subject.driver.close(raw)
        subject.driver.abort(aborted)
        subject.driver.close(aborted)
        assert subject.driver.is_closed(aborted)
        assert subject.driver.is_stale(raw)


class _Background:
    """A call in a thread of its own, and the error that it ended with."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._call()
        except Exception as exc:  # the test looks at it
            self._error = exc

    def error(self) -> Exception | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the call did not return"
        return self._error


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
