"""The contract that every driver adapter keeps, as tests to run on your own adapter against a real server.

Subclass the class that fits in a test file, and say by a fixture what to test::

    class TestMyDriver(ServerContract):
        @pytest.fixture
        def subject(self, mariadb_server):
            return Subject(load("mydriver"), Target(host="127.0.0.1", port=mariadb_server.port(), user="app", ...))

`DriverContract` is for every driver, `ServerContract` adds what one of a server keeps, `ListenContract` what one keeps whose
server sends notifications unasked; a class that asks too little fails.  The user needs one database in which he may create
tables; sessions are killed by himself.

Nothing is skipped.  Where the adapter says that it cannot do something (`Abilities`), the tests demand the answer that it
must then give: that it does not know, never a guess.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest

from ..core.faults import Facts, Fault
from ..core.node import Report, Role
from ..drivers.contract import Driver, Target

__all__ = ["SQL", "DriverContract", "ListenContract", "ServerContract", "Subject"]

PATIENCE = 20.0
"""Seconds after which what should have happened has not."""
GIVEN_UP = 6.0
"""Seconds within which a dial with a timeout of 1 s is given up; some drivers round up to 2 s."""

SQL: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "me": "SELECT pg_backend_pid()",
        "kill": "SELECT pg_terminate_backend({})",
        "alive": "SELECT count(*) FROM pg_stat_activity WHERE pid = {}",
        "sleep": "SELECT pg_sleep(30)",
        "nap": "SELECT pg_sleep(1)",
        "begin": "BEGIN",
        "listen": "LISTEN contract",
        "notify": "NOTIFY contract",
    },
    "mysql": {
        "me": "SELECT CONNECTION_ID()",
        "kill": "KILL CONNECTION {}",
        "alive": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {}",
        "sleep": "SELECT SLEEP(30)",
        "nap": "SELECT SLEEP(1)",
        "begin": "START TRANSACTION",
    },
    "sqlite": {
        "sleep": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "nap": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT count(*) FROM n",
        "begin": "BEGIN",
    },
}
"""Statements by dialect.

``me`` tells a session's number, ``kill`` ends that session, ``alive`` counts it; without ``kill`` it is no server.  ``sleep`` is
a call that must be woken, ``nap`` one that ends after about a second.  ``listen`` and ``notify`` use the channel "contract".
"""


@dataclasses.dataclass(frozen=True)
class Subject:
    """An adapter and a server for it.  ``sql`` replaces statements of `SQL`."""

    driver: Driver
    target: Target
    sql: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def statements(self) -> Mapping[str, str]:
        """The statements of the dialect, and the subject's own in their place."""
        return {**SQL.get(self.driver.dialect.name, {}), **self.sql}

    @property
    def is_served(self) -> bool:
        """Whether there is a server with sessions, and not just a file."""
        return self.target.host is not None or self.target.port is not None or "kill" in self.statements

    def say(self, name: str) -> str:
        """Return the statement called ``name``; fail the test where none is known."""
        known = self.statements
        if name not in known:
            pytest.fail(f"no statement {name!r} is known for {self.driver.dialect.name}: give it, Subject(sql=...)")
        return known[name]

    def connect(self, **changes: Any) -> Any:
        """Open a connection to the target, with other fields."""
        return self.driver.connect(dataclasses.replace(self.target, **changes), 5.0)

    def facts_of(self, raw: Any, *statements: str) -> Facts:
        """Run the statements on ``raw`` until one fails; return what its error proves.

        That may be the socket's own OSError: pg8000 lets one through when the server resets the connection.
        """
        errors = (self.driver.module.Error, OSError)
        with pytest.raises(errors) as failed:  # noqa: PT012 - which of them fails is the database's affair
            cursor = raw.cursor()  # mysql-connector asks the server for a sign of life here
            for statement in statements:
                cursor.execute(statement)
                if cursor.description:
                    cursor.fetchall()
        return self.driver.facts(failed.value, raw)

    def kill(self, raw: Any) -> None:
        """End the session of ``raw`` on the server, and wait until it is gone."""
        [[(number,)]] = self.driver.ask(raw, [self.say("me")])
        with contextlib.closing(self.connect()) as killer:
            self.driver.ask(killer, [self.say("kill").format(number)])
            _until(lambda: self.driver.ask(killer, [self.say("alive").format(number)]) == [[(0,)]])


class DriverContract:
    """What every driver keeps.  Inherit it; ``subject`` is the only fixture to give."""

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
        self._run(
            keeper, f"CREATE TABLE {name} (id INT PRIMARY KEY, n INT)", f"INSERT INTO {name} VALUES (1, 0), (2, 0)"
        )
        keeper.commit()
        yield name
        for conn in (raw, other):  # a transaction that a failed test left open would block the DROP for ever
            subject.driver.close(conn)
        self._run(keeper, f"DROP TABLE {name}")
        keeper.commit()
        subject.driver.close(keeper)

    @staticmethod
    def _run(raw: Any, *statements: str) -> None:
        cursor = raw.cursor()
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
        cursor.close()

    @staticmethod
    def _want_autocommit(subject: Subject, raw: Any, on: bool) -> None:
        """Set the mode where there is one; a driver without is as PEP 249 has it: off."""
        if subject.driver.abilities.autocommit:
            subject.driver.set_autocommit(raw, on)

    def _set(self, subject: Subject, raw: Any, statements: Sequence[str]) -> None:
        """Change the session, as clustersql does it: by `ask`.  It must hold after that."""
        subject.driver.ask(raw, statements)

    @staticmethod
    def _tells(subject: Subject, raw: Any, truth: bool) -> None:
        """It tells the truth about an open transaction; None only where it says that it may not know."""
        told = subject.driver.in_transaction(raw)
        assert told is truth or (told is None and not subject.driver.abilities.transaction_status)

    # Who it is

    def test_the_whole_contract_is_asked(self, subject: Subject) -> None:
        """A class that fits less than it could would leave checks out unseen."""
        assert isinstance(self, ServerContract) is subject.is_served, "ServerContract is for servers, and only for them"
        assert isinstance(self, ListenContract) is ("listen" in subject.statements), "ListenContract is for LISTEN"

    def test_it_names_itself_and_its_dialect(self, subject: Subject) -> None:
        driver = subject.driver
        assert driver.name
        assert driver.module.apilevel == "2.0"
        assert issubclass(driver.operational_error, driver.module.Error)
        assert issubclass(driver.interface_error, driver.module.Error)

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
        """Where there is no such mode it is refused, not ignored, and nothing is told."""
        if not subject.driver.abilities.autocommit:
            with pytest.raises(subject.driver.module.NotSupportedError):
                subject.driver.set_autocommit(raw, True)
            assert subject.driver.autocommit(raw) is None
            return
        for mode in (True, False, True, True):
            subject.driver.set_autocommit(raw, mode)
            assert subject.driver.autocommit(raw) is mode

    @pytest.mark.parametrize(
        "statements",
        [
            ["SELECT * FROM {}"],
            ["UPDATE {} SET n = 1"],
            ["SELECT * FROM {}", "SELEKT"],
            ["INSERT INTO {} VALUES (1, 1)"],
        ],
        ids=["read", "write", "error", "failed-first"],
    )
    def test_it_tells_a_transaction(self, subject: Subject, raw: Any, table: str, statements: Sequence[str]) -> None:
        """Whatever opened it, and when it has ended; never False while one is open."""
        self._want_autocommit(subject, raw, False)
        self._tells(subject, raw, False)
        with contextlib.suppress(subject.driver.module.Error):
            self._run(raw, *[statement.format(table) for statement in statements])
        opened = subject.driver.dialect.name != "sqlite" or "SELECT" not in statements[0]  # its reads open none
        self._tells(subject, raw, opened)
        raw.rollback()
        self._tells(subject, raw, False)

    @pytest.mark.parametrize("statement", ["SELECT 1", "SELECT * FROM {}", "UPDATE {} SET n = 1"])
    def test_it_tells_a_transaction_that_begin_opened(
        self, subject: Subject, raw: Any, table: str, statement: str
    ) -> None:
        """In autocommit mode too, where none is to be expected."""
        self._want_autocommit(subject, raw, True)
        self._run(raw, subject.say("begin"))
        self._tells(subject, raw, True)
        self._run(raw, statement.format(table))
        self._tells(subject, raw, True)
        self._run(raw, "ROLLBACK")
        self._tells(subject, raw, False)

    def test_of_a_closed_connection_no_transaction_is_denied(self, subject: Subject, raw: Any, table: str) -> None:
        """Its COMMIT may have got through or not: nobody may conclude that there was nothing to lose."""
        self._want_autocommit(subject, raw, False)
        self._run(raw, f"UPDATE {table} SET n = n")
        subject.driver.close(raw)
        assert subject.driver.in_transaction(raw) is not False

    # What errors prove

    def test_the_statements_own_errors(self, subject: Subject, raw: Any, table: str) -> None:
        for statement in ("SELEKT 1", f"INSERT INTO {table} VALUES (1, 1)", "SELECT * FROM no_such_table_at_all"):
            facts = subject.facts_of(raw, statement)
            assert (facts.fault, facts.lost, facts.not_sent) == (Fault.STATEMENT, False, False), statement
            raw.rollback()

    def test_a_refused_write(self, subject: Subject, raw: Any, table: str) -> None:
        """A dialect without a read-only mode has no way back from it either, and writes are taken."""
        driver = subject.driver
        assert bool(driver.dialect.read_only_on) is bool(driver.dialect.read_only_off)
        self._set(subject, raw, driver.dialect.read_only_on)
        if driver.dialect.read_only_on:
            facts = subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
            assert (facts.fault, facts.lost) == (Fault.READ_ONLY, False)
            raw.rollback()
        self._set(subject, raw, driver.dialect.read_only_off)
        self._run(raw, f"INSERT INTO {table} VALUES (9, 9)")
        raw.rollback()

    def test_a_closed_connection_is_lost(self, subject: Subject, raw: Any) -> None:
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

    def test_a_connection_closed_here_is_stale(self, subject: Subject, raw: Any) -> None:
        """So much is known even without a descriptor."""
        subject.driver.close(raw)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_stale(raw)

    # Waking and closing

    def test_abort_tells_what_it_did_to_an_idle_connection(self, subject: Subject, raw: Any) -> None:
        """With a descriptor the connection is dead and known to be; without one it is interrupted at most, and stays good."""
        shut = subject.driver.abilities.descriptor
        assert subject.driver.abort(raw) or not shut
        assert subject.driver.is_stale(raw) is shut
        if shut:
            facts = subject.facts_of(raw, "SELECT 1")
            assert (facts.fault, facts.lost) == (Fault.LOST, True)
        else:
            assert subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]

    def test_abort_wakes_a_call_in_another_thread(self, subject: Subject, raw: Any, other: Any) -> None:
        """False means that the call goes on, as if nobody had tried."""
        able = subject.driver.abort(other)
        call = _Background(lambda: self._run(raw, subject.say("sleep" if able else "nap")))
        time.sleep(0.3)
        assert subject.driver.abort(raw) is able
        if not able:
            assert call.error() is None
            assert subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]
            return
        _until(lambda: call.has_ended(0.1) or not subject.driver.abort(raw))  # on a busy machine it may begin only now
        error = call.error()
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
        before = len(os.listdir("/dev/fd"))
        subject.driver.abort(raw)
        assert len(os.listdir("/dev/fd")) == before

    def test_closing_is_quiet(self, subject: Subject) -> None:
        raw, aborted = subject.connect(), subject.connect()
        subject.driver.close(raw)
        subject.driver.close(raw)
        subject.driver.abort(aborted)
        subject.driver.close(aborted)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_closed(aborted)


class ServerContract(DriverContract):
    """What a driver of a server keeps besides: dials that fail, sessions that end."""

    # Connecting

    def test_a_closed_port_is_lost_and_unsent(self, subject: Subject) -> None:
        facts = self._refused(subject, port=_closed_port())
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    def test_a_wrong_password_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, password="wrong").fault is Fault.MISCONFIGURED

    def test_a_wrong_database_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, database="no_such_database").fault is Fault.MISCONFIGURED

    @staticmethod
    def _refused(subject: Subject, **changes: Any) -> Facts:
        with pytest.raises((subject.driver.module.Error, OSError)) as failed:
            subject.connect(**changes)
        return subject.driver.facts(failed.value, None)

    def test_a_deaf_server_is_given_up(self, subject: Subject) -> None:
        """It accepts and never answers: the handshake has a deadline too.

        A driver without one waits until the server hangs up; then it is lost all the same.
        """
        with _deaf_port() as port:
            target = dataclasses.replace(subject.target, port=port)
            dial = _Background(lambda: subject.driver.connect(target, 1.0))
            given_up = dial.has_ended(GIVEN_UP)
        error = dial.error()
        assert given_up is subject.driver.abilities.connect_timeout
        assert error is not None
        facts = subject.driver.facts(error, None)
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    # What errors prove

    def test_the_loser_of_a_deadlock_is_rolled_back(self, subject: Subject, raw: Any, other: Any, table: str) -> None:
        """Two sessions that wait for each other's row locks."""
        self._want_autocommit(subject, raw, False)
        self._want_autocommit(subject, other, False)
        self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 2")
        crossing = _Background(lambda: self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 1"))
        mine = _Background(lambda: self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 2"))
        failed = [(error, conn) for call, conn in ((mine, raw), (crossing, other)) if (error := call.error())]
        assert [subject.driver.facts(error, conn).fault for error, conn in failed] == [Fault.ROLLED_BACK]

    def test_a_killed_session_is_lost(self, subject: Subject, raw: Any) -> None:
        subject.kill(raw)
        facts = subject.facts_of(raw, "SELECT 1")
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, False)

    # Idle connections

    def test_a_killed_idle_connection_is_stale(self, subject: Subject, raw: Any) -> None:
        """Without a descriptor nobody can know: then the next statement finds it lost, and from there on it is known."""
        subject.kill(raw)
        if subject.driver.abilities.descriptor:
            _until(lambda: subject.driver.is_stale(raw))
            return
        assert not subject.driver.is_stale(raw)
        assert subject.facts_of(raw, "SELECT 1").lost
        assert subject.driver.is_stale(raw)


class ListenContract(ServerContract):
    """What a driver keeps besides whose server sends notifications to an idle session, as PostgreSQL does after LISTEN."""

    def heard(self, raw: Any) -> Sequence[str]:
        """Return the channels of the notifications that the driver holds for its user; give it as the driver has it."""
        raise NotImplementedError("give a method called heard")

    @pytest.fixture
    def notified(self, subject: Subject, raw: Any, other: Any) -> Any:
        """The connection ``raw``, to which a notification was sent."""
        self._run(raw, subject.say("listen"))
        raw.commit()
        self._run(other, subject.say("notify"))
        other.commit()
        return raw

    def test_a_notification_is_no_death_and_is_kept(self, subject: Subject, notified: Any) -> None:
        for _ in range(20):  # it arrives when it likes: on a quiet machine before the second look
            assert not subject.driver.is_stale(notified)
            time.sleep(0.02)
        heard: list[str] = []

        def has_heard() -> bool:
            assert subject.driver.ask(notified, ["SELECT 1"]) == [[(1,)]]  # some take it in only with an answer
            heard.extend(self.heard(notified))
            return bool(heard)

        _until(has_heard)
        assert heard == ["contract"]

    def test_a_death_behind_a_notification_is_seen(self, subject: Subject, notified: Any) -> None:
        subject.kill(notified)
        if subject.driver.abilities.descriptor:
            _until(lambda: subject.driver.is_stale(notified))
        assert subject.facts_of(notified, "SELECT 1").lost
        assert subject.driver.is_stale(notified)


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

    def has_ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()

    def error(self) -> Exception | None:
        assert self.has_ended(PATIENCE), "the call did not return"
        return self._error


def _until(holds: Callable[[], bool]) -> None:
    """Return as soon as it holds; fail after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


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
