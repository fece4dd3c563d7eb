"""The driver contract, for all eight drivers on real servers, and for a module that we know nothing about."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clustersql.drivers import load
from clustersql.drivers.contract import Abilities, Target
from clustersql.errors import ConfigError
from clustersql.testing.contract import DriverContract, ListenContract, ServerContract, Subject

HEARD: Mapping[str, Callable[[Any], list[str]]] = {
    "psycopg": lambda raw: [notice.channel for notice in raw.notifies(timeout=0)],
    "psycopg2": lambda raw: [notice.channel for notice in _taken(raw.notifies)],
    "pg8000": lambda raw: [channel for _, channel, _ in _taken(raw.notifications)],
}


def _taken(notices: Any) -> list[Any]:
    taken = list(notices)
    notices.clear()
    return taken


def _heard(raw: Any) -> list[str]:
    """The channels of the notifications that the driver holds, each told once."""
    return next(heard(raw) for package, heard in HEARD.items() if _is_of(raw, package))


def _is_of(raw: Any, package: str) -> bool:
    return any(kind.__module__.split(".")[0] == package for kind in type(raw).__mro__)


def _target(port: int) -> Target:
    return Target(host="127.0.0.1", port=port, user="app", password="secret", database="app")


def _subject(driver: str, port: int) -> Subject:
    return Subject(load(driver), _target(port))


@pytest.mark.parametrize(
    ("driver", "abilities"),
    [
        ("psycopg", Abilities(True, True, True, True, shared=True)),
        ("psycopg2", Abilities(True, True, True, True, shared=True)),
        ("pg8000", Abilities(True, True, True, True, shared=True, shared_autocommit=False)),
        ("pymysql", Abilities(True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True)),
        ("mysqlclient", Abilities(True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True)),
        (
            "mysql-connector",
            Abilities(
                True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True, cursor_asks=True
            ),
        ),
        ("mariadb", Abilities(True, False, True, True, mode_commits=True, leaves_results=True, fetch_reads=True)),
        ("sqlite3", Abilities(False, True, True, True, mode_commits=True, reset_keeps_hook=True)),
    ],
)
def test_no_driver_claims_less_than_it_can(driver: str, abilities: Abilities) -> None:
    """The contract asks less of one that does."""
    assert load(driver).abilities == abilities


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # pg8000 leaves the socket of a failed connect to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestPostgres(ListenContract):
    def heard(self, raw: Any) -> list[str]:
        return _heard(raw)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _collected(cls) -> Iterator[None]:
        """What pg8000 leaves is collected here, where it is expected, and not in somebody else's test."""
        yield
        gc.collect()

    @pytest.fixture(params=["psycopg", "psycopg2", "pg8000"])
    def subject(self, request: Any, postgres_cluster: Any) -> Subject:
        return _subject(request.param, postgres_cluster.port(postgres_cluster.primary))

    def test_a_standby_is_a_replica(self, subject: Subject, postgres_cluster: Any) -> None:
        raw = subject.connect(port=postgres_cluster.port("n2"))
        report = subject.driver.dialect.report(subject.driver.ask(raw, subject.driver.dialect.probe))
        assert report.role.value == "replica"
        assert subject.driver.pushed_role(raw) in (None, report.role)
        subject.driver.close(raw)

    def test_our_own_read_only_mode_is_not_the_nodes(self, subject: Subject, raw: Any, postgres_cluster: Any) -> None:
        driver = subject.driver
        driver.ask(raw, driver.dialect.read_only_on)
        assert driver.dialect.report(driver.ask(raw, driver.dialect.probe)).role.value == "primary"
        postgres_cluster.set_read_only(postgres_cluster.primary)
        try:
            report = driver.dialect.report(driver.ask(raw, driver.dialect.probe))
        finally:
            postgres_cluster.set_read_only(postgres_cluster.primary, False)
        assert (report.role.value, report.why) == ("replica", "default_transaction_read_only is on")

    def test_reset_gives_the_first_state_back(self, subject: Subject, raw: Any) -> None:
        driver = subject.driver
        driver.ask(raw, ["SET application_name = 'tenant'", *driver.dialect.read_only_on])
        assert driver.reset(raw)
        [[(name,)]] = driver.ask(raw, ["SHOW application_name"])
        assert name != "tenant"


class TestUnknownModule(ListenContract):
    """psycopg2 under a name that we do not know: no descriptor, no autocommit, no status, no timeout."""

    def heard(self, raw: Any) -> list[str]:
        return _heard(raw)

    @pytest.fixture
    def subject(self, postgres_cluster: Any) -> Subject:
        psycopg2 = load("psycopg2").module
        unknown = ModuleType("psycopg2cffi")
        unknown.__dict__.update({name: value for name, value in vars(psycopg2).items() if not name.startswith("__")})
        mute = type("Mute", (psycopg2.extensions.connection,), {"fileno": None})
        target = _target(postgres_cluster.port(postgres_cluster.primary))
        return Subject(load(unknown), dataclasses.replace(target, arguments={"connection_factory": mute}))

    def test_it_claims_nothing(self, subject: Subject) -> None:
        """Otherwise these tests would not ask what an adapter answers that lacks an ability."""
        assert subject.driver.dialect.name == "postgresql"
        assert subject.driver.abilities == Abilities(False, False, False, False, leaves_results=True, fetch_reads=True)


class TestMariaDB(ServerContract):
    @pytest.fixture(params=["pymysql", "mysqlclient", "mysql-connector", "mariadb"])
    def subject(self, request: Any, mariadb_server: Any) -> Subject:
        return _subject(request.param, mariadb_server.port())

    def test_a_demoted_server_refuses_and_says_replica(
        self, subject: Subject, raw: Any, table: str, mariadb_server: Any
    ) -> None:
        driver = subject.driver
        mariadb_server.set_read_only("n1")
        try:
            facts = subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
            report = driver.dialect.report(driver.ask(raw, driver.dialect.probe))
        finally:
            mariadb_server.set_read_only("n1", False)
        assert (facts.fault.value, facts.undone_at_commit) == ("read-only", True)
        assert (report.role.value, report.why) == ("replica", "read_only is on")

    def test_reset_gives_the_first_state_back(self, subject: Subject, raw: Any, mariadb_server: Any) -> None:
        """The character set too, which the server would set to its own; mysqlclient has no way to."""
        driver = subject.driver
        asked = ["SELECT DATABASE(), @@sql_mode, @@character_set_client, @@collation_connection, @a, @@tx_read_only"]
        driver.set_autocommit(raw, True)
        before = driver.ask(raw, asked)
        driver.ask(
            raw,
            [
                "SET @a = 1",
                "SET sql_mode = 'ANSI'",
                "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
                *driver.dialect.read_only_on,
                "USE information_schema",
            ],
        )
        assert driver.reset(raw) is (driver.name != "mysqlclient")
        if driver.name != "mysqlclient":
            assert driver.ask(raw, asked) == before

    def test_the_transaction_of_a_procedure_that_failed_is_not_denied(
        self, subject: Subject, raw: Any, table: str, mariadb_server: Any
    ) -> None:
        """In autocommit mode too: an error packet has no status, and the drivers' flags are what they were before."""
        mariadb_server.execute(
            "n1",
            "CREATE OR REPLACE PROCEDURE opens_and_fails() SQL SECURITY INVOKER BEGIN START TRANSACTION; "
            f"INSERT INTO {table} VALUES (3, 3); SIGNAL SQLSTATE '45000'; END",
        )
        subject.driver.set_autocommit(raw, True)
        assert subject.facts_of(raw, "CALL opens_and_fails()").fault.value == "statement"
        assert subject.driver.in_transaction(raw) is not False
        with contextlib.closing(subject.driver.cursor(raw)) as cursor:
            cursor.execute("SELECT @@in_transaction")
            assert [tuple(row) for row in cursor.fetchall()] == [(1,)]
        raw.rollback()

    def test_a_lock_timeout_leaves_the_transaction_open(
        self, subject: Subject, raw: Any, other: Any, table: str
    ) -> None:
        """1205 undoes the statement only: calling it rolled back would lose or double the rows before it."""
        self._run(other, f"UPDATE {table} SET n = 5 WHERE id = 1")
        self._run(raw, "SET innodb_lock_wait_timeout = 1", f"UPDATE {table} SET n = 6 WHERE id = 2")
        facts = subject.facts_of(raw, f"UPDATE {table} SET n = 6 WHERE id = 1")
        assert (facts.fault.value, facts.lost, facts.errno) == ("statement", False, 1205)
        raw.commit()
        assert subject.driver.ask(raw, [f"SELECT n FROM {table} WHERE id = 2"]) == [[(6,)]]


class TestMySQLConnector:
    """What differs from all the others: its own timeouts, a cursor that pings, an extension without a socket."""

    def test_its_read_timeout_is_a_lost_connection(self, mariadb_server: Any) -> None:
        """It carries 3024, a server's number for a statement that was ended; but nobody has ended this one."""
        subject = _subject("mysql-connector", mariadb_server.port())
        raw = subject.connect(arguments={"read_timeout": "1"})
        facts = subject.facts_of(raw, "SELECT SLEEP(3)")
        assert (facts.fault.value, facts.lost, facts.not_sent) == ("lost", True, False)
        subject.driver.close(raw)

    def test_asking_costs_no_ping(self, mariadb_server: Any) -> None:
        subject = _subject("mysql-connector", mariadb_server.port())
        raw = subject.connect()
        [[(_, before)], _, [(_, after)]] = subject.driver.ask(
            raw, [pings := "SHOW SESSION STATUS LIKE 'Com_admin_commands'", "SELECT 1", pings]
        )
        raw.cursor()
        [[(_, pinged)]] = subject.driver.ask(raw, [pings])
        assert (int(after) - int(before), int(pinged) - int(after)) == (0, 1)
        subject.driver.close(raw)

    def test_the_c_extension_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="could not be woken"):
            load("mysql-connector").connect(Target(host="127.0.0.1", arguments={"use_pure": "false"}), 1.0)


def test_mariadb_may_not_reconnect_by_itself() -> None:
    with pytest.raises(ConfigError, match="replace a lost session unseen"):
        load("mariadb").connect(Target(host="127.0.0.1", arguments={"reconnect": "true"}), 1.0)


class TestSQLite(DriverContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return Subject(load("sqlite3"), Target(database=str(tmp_path / "contract.db")))

    def test_it_can_interrupt(self, subject: Subject, raw: Any) -> None:
        """The contract would take "cannot" for an answer, too."""
        assert subject.driver.abort(raw)

    def test_a_file_in_no_folder_is_lost_and_unsent(self, subject: Subject, tmp_path: Path) -> None:
        with pytest.raises(subject.driver.module.Error) as failed:
            subject.connect(database=str(tmp_path / "nowhere" / "contract.db"))
        facts = subject.driver.facts(failed.value, None)
        assert (facts.fault.value, facts.lost, facts.not_sent) == ("lost", True, True)

    def test_a_lock_of_another_connection_is_the_statements_own(
        self, subject: Subject, raw: Any, other: Any, table: str
    ) -> None:
        """There is no deadlock to lose: the one that waits is refused, and its transaction stays."""
        subject.driver.ask(raw, ["PRAGMA busy_timeout = 0"])
        self._run(other, f"UPDATE {table} SET n = 5")
        facts = subject.facts_of(raw, f"UPDATE {table} SET n = 6")
        assert (facts.fault.value, facts.lost) == ("statement", False)
