"""Design section 3, the columns "first statement" and "later in a transaction, before COMMIT"."""

from __future__ import annotations

import threading

import pytest
from support.stage import COMMIT, INSERT, LOCKS, Stage, failure
from support.waiting import eventually

from clustersql import OutcomeUnknown, TransactionLost

before_or_after = pytest.mark.parametrize("before", [True, False], ids=["before", "after"])


@before_or_after
def test_first_statement_is_executed_again(stage: Stage, before: bool) -> None:
    """Nothing can have committed: the transaction goes on elsewhere and happens exactly once."""
    with stage.db.connection() as conn:
        stage.cut(stage.key_bytes, before)
        stage.insert(conn)
        assert len(stage.read(conn)) == 1
    assert stage.count() == 1


@before_or_after
def test_first_statement_of_a_connection_outside_the_pool(stage: Stage, before: bool) -> None:
    """The same for ``connect()``."""
    conn = stage.cluster.connect()
    stage.cut(stage.key_bytes, before)
    stage.insert(conn)
    conn.commit()
    conn.close()
    assert stage.count() == 1


@before_or_after
def test_second_transaction_begins_anew(stage: Stage, before: bool) -> None:
    """After a COMMIT the next statement is a first one again; what was committed stays once."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        conn.commit()
        stage.cut(f"{stage.key}-second".encode(), before)
        stage.insert(conn, f"{stage.key}-second")
        conn.commit()
    assert (stage.count(), stage.count(f"{stage.key}-second")) == (1, 1)


@before_or_after
def test_later_statement_loses_the_transaction(stage: Stage, before: bool) -> None:
    """TransactionLost; nothing is there; the connection refuses to go on until rollback(), then works."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.cut(f"{stage.key}-later".encode(), before)
        error = failure(stage.insert, conn, f"{stage.key}-later")
        assert isinstance(error, TransactionLost)
        assert isinstance(error, stage.cluster.driver.operational_error)
        assert isinstance(error.__cause__, stage.errors.Error)
        assert isinstance(failure(stage.insert, conn, f"{stage.key}-alone"), TransactionLost)
        assert isinstance(failure(conn.commit), TransactionLost)
        conn.rollback()
        stage.insert(conn, f"{stage.key}-after")
    counts = [stage.count(f"{stage.key}{suffix}") for suffix in ("", "-later", "-alone", "-after")]
    assert counts == [0, 0, 0, 1]


def test_leaving_the_block_after_a_loss_says_so(stage: Stage) -> None:
    """A swallowed TransactionLost comes again at the end of the block: silence would look like a commit."""

    def work() -> None:
        with stage.db.connection() as conn:
            stage.insert(conn)
            stage.cut(f"{stage.key}-later".encode(), True)
            failure(stage.insert, conn, f"{stage.key}-later")

    assert isinstance(failure(work), TransactionLost)
    assert stage.count() == 0


def test_session_terminated_in_the_middle(stage: Stage) -> None:
    """pg_terminate_backend or KILL between two statements: lost before COMMIT was sent."""
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.server.terminate_sessions("n1")
        assert isinstance(failure(stage.insert, conn), TransactionLost)
        conn.rollback()
        stage.insert(conn)
    assert stage.count() == 1


def test_statement_that_was_not_sent(postgres_stage: Stage) -> None:
    """First: executed elsewhere.  Later: the transaction is lost."""
    stage = postgres_stage
    with stage.db.connection() as conn, conn.cursor() as cursor:
        stage.close_raw(stage.raw(conn))
        cursor.execute(INSERT, (stage.key,))
        stage.close_raw(stage.raw(conn))
        assert isinstance(failure(cursor.execute, INSERT, (stage.key,)), TransactionLost)
        conn.rollback()
    assert stage.count() == 0


def test_read_only_refusal_of_the_first_statement(stage: Stage) -> None:
    """Refused: re-executed when a node accepts writes again; exactly once."""
    stage.db.execute("SELECT 1")
    with stage.read_only_for(0.4), stage.db.connection(timeout=15) as conn:
        stage.insert(conn)
    assert stage.count() == 1


def test_read_only_refusal_of_a_later_statement(mariadb_stage: Stage) -> None:
    """Refused in the middle: the whole transaction is lost, and is not there.  (PostgreSQL lets an open transaction go
    on.)
    """
    stage = mariadb_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        stage.server.set_read_only("n1")
        try:
            error = failure(stage.insert, conn, f"{stage.key}-later")
        finally:
            stage.server.set_read_only("n1", False)
        assert isinstance(error, TransactionLost)
        conn.rollback()
    assert stage.count() == 0


def test_write_in_a_read_only_session_is_the_caller_s_mistake(stage: Stage) -> None:
    """The server refuses it, the driver's error says so, and the node is not blamed."""
    with stage.db.connection(read_only=True) as conn:
        error = failure(stage.insert, conn)
        conn.rollback()
    assert isinstance(error, stage.errors.Error)
    assert type(error).__module__.split(".")[0] != "clustersql"
    assert stage.count() == 0
    assert stage.cluster.view.by_name["a"].role.value == "primary"


def test_conflict_on_the_first_statement(postgres_stage: Stage) -> None:
    """40001: re-executed on the same connection; exactly once."""
    stage = postgres_stage
    key = f"conflict-{stage.key}"
    stage.ask("ALTER SEQUENCE conflicts RESTART")
    with stage.db.connection() as conn:
        stage.insert(conn, key)
        assert conn.node == "a"
    assert stage.count(key) == 1


def test_conflict_on_a_later_statement(postgres_stage: Stage) -> None:
    """40001 later: the driver's error; nothing is there."""
    stage = postgres_stage
    key = f"conflict-{stage.key}"
    stage.ask("ALTER SEQUENCE conflicts RESTART")
    with stage.db.connection() as conn:
        stage.insert(conn)
        error = failure(stage.insert, conn, key)
        assert isinstance(error, stage.errors.Error)
        assert stage.cluster.driver.facts(error, stage.raws[0]).sqlstate == "40001"
        conn.rollback()
    assert (stage.count(), stage.count(key)) == (0, 0)


class Rival:
    """Another transaction, past the library, that holds row 2 and then wants row 1: a deadlock in which it survives."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.one, self.two = f"{stage.key}-1", f"{stage.key}-2"
        for name in (self.one, self.two):
            stage.ask("INSERT INTO counters (name, n) VALUES (%s, 0)", name)
        self.raw = self._connect()
        self.cursor = self.raw.cursor()
        if not stage.postgres:  # InnoDB ends the transaction that changed less
            self.cursor.executemany(
                "INSERT INTO counters (name, n) VALUES (%s, 0)", [(f"{stage.key}{i}",) for i in range(99)]
            )
        self.add(self.two)

    def _connect(self) -> object:
        import psycopg
        import pymysql

        port = self.stage.server.port("n1")
        if not self.stage.postgres:
            return pymysql.connect(
                host="127.0.0.1", port=port, user="app", password="secret", database="app", ssl_disabled=True
            )
        server = self.stage.server  # a superuser may look for deadlocks later than the other side
        return psycopg.connect(
            host="127.0.0.1",
            port=port,
            user="postgres",
            password=server._admin_password,
            dbname="app",
            options="-c deadlock_timeout=60s",
        )

    def add(self, name: str) -> None:
        self.cursor.execute("UPDATE counters SET n = n + 1 WHERE name = %s", (name,))

    def want_the_other_row(self) -> threading.Thread:
        def work() -> None:
            self.add(self.one)
            self.raw.commit()

        thread = threading.Thread(target=work)
        thread.start()
        waiting = (
            "SELECT 1 FROM pg_locks WHERE NOT granted"
            if self.stage.postgres
            else "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        )
        assert eventually(lambda: self.stage.ask(waiting), every=LOCKS)
        return thread

    def numbers(self) -> list[int]:
        rows = self.stage.ask("SELECT n FROM counters WHERE name IN (%s, %s)", self.one, self.two)
        return [n for (n,) in rows]


def _add(conn: object, name: str) -> None:
    with conn.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("UPDATE counters SET n = n + 1 WHERE name = %s", (name,))


@pytest.mark.parametrize("by_run", [False, True], ids=["by hand", "by run"])
def test_deadlock_on_a_later_statement(stage: Stage, by_run: bool) -> None:
    """40P01, 1213: the driver's error, nothing is there; ``run`` reruns and it happens exactly once."""
    rival, threads = Rival(stage), []

    def work(conn: object) -> None:
        _add(conn, rival.one)
        if not threads:
            threads.append(rival.want_the_other_row())
        _add(conn, rival.two)

    try:
        if by_run:
            stage.db.run(work)
        else:
            with stage.db.connection() as conn:
                error = failure(work, conn)
                assert isinstance(error, stage.errors.Error)
                assert "eadlock" in str(error)
                conn.rollback()
    finally:
        for thread in threads:
            thread.join(20)
        rival.raw.close()
    assert rival.numbers() == ([2, 2] if by_run else [1, 1])


def test_a_swallowed_deadlock_is_not_forgotten_for_a_later_error(stage: Stage) -> None:
    """It has undone what came before; ``run`` commits nothing of the rest, though the latest error ended no
    transaction, and reruns.
    """
    rival, threads, attempts = Rival(stage), [], []

    def work(conn: object) -> None:
        attempts.append(conn.attempt)  # type: ignore[attr-defined]
        _add(conn, rival.one)
        if not threads:
            threads.append(rival.want_the_other_row())
            assert "eadlock" in str(failure(_add, conn, rival.two))
            with conn.cursor() as cursor:  # type: ignore[attr-defined]
                assert isinstance(failure(cursor.execute, "SELECT * FROM nowhere"), stage.errors.Error)
        else:
            _add(conn, rival.two)

    try:
        stage.db.run(work)
    finally:
        for thread in threads:
            thread.join(20)
        rival.raw.close()
    assert (
        len(attempts) > 1
    )  # more often where the next attempt has the row before the rival, who waited for it, has woken up
    assert rival.numbers() == [2, 2]


def test_deadlock_on_the_first_statement(mariadb_stage: Stage) -> None:
    """1213 at once: re-executed on the same connection, exactly once."""
    stage = mariadb_stage
    rival = Rival(stage)
    errors: list[object] = []

    def work() -> None:
        with stage.db.connection() as conn, conn.cursor() as cursor:
            cursor.execute("UPDATE counters SET n = n + 1 WHERE name IN (%s, %s) ORDER BY name", (rival.one, rival.two))

    thread = threading.Thread(target=lambda: errors.append(failure(work)))
    thread.start()
    waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    assert eventually(lambda: stage.ask(waiting), every=LOCKS)
    rival.add(rival.one)
    rival.raw.commit()
    rival.raw.close()
    thread.join(20)
    assert errors == [None]
    assert rival.numbers() == [2, 2]


@before_or_after
def test_ddl_that_commits_implicitly(mariadb_stage: Stage, before: bool) -> None:
    """MariaDB commits before DDL: a lost answer is OutcomeUnknown, and ``run`` runs nothing again."""
    stage = mariadb_stage
    table, attempts = f"t{stage.key}", []

    def work(conn: object) -> None:
        attempts.append(1)
        stage.insert(conn)
        with conn.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"CREATE TABLE {table} (a int)")

    stage.cut(table.encode(), before)
    assert isinstance(failure(stage.db.run, work), OutcomeUnknown)
    assert len(attempts) == 1
    assert stage.count() == (0 if before else 1)
    assert len(stage.ask("SHOW TABLES LIKE %s", table)) == (0 if before else 1)
    stage.ask(f"DROP TABLE IF EXISTS {table}")


def test_statement_after_ddl_is_not_lost_but_unknown(mariadb_stage: Stage) -> None:
    """What came before the DDL was committed by it, so "nothing has happened" would be a lie."""
    stage = mariadb_stage
    with stage.db.connection() as conn, conn.cursor() as cursor:
        stage.insert(conn)
        cursor.execute(f"CREATE TABLE t{stage.key} (a int)")
        stage.cut(f"{stage.key}-later".encode(), True)
        assert isinstance(failure(stage.insert, conn, f"{stage.key}-later"), OutcomeUnknown)
        conn.rollback()
    assert (stage.count(), stage.count(f"{stage.key}-later")) == (1, 0)
    stage.ask(f"DROP TABLE t{stage.key}")


def test_commit_of_a_failed_transaction_is_no_silence(postgres_stage: Stage) -> None:
    """PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction: TransactionLost, then the connection works."""
    stage = postgres_stage
    with stage.db.connection() as conn:
        stage.insert(conn)
        with conn.cursor() as cursor:
            assert isinstance(failure(cursor.execute, "SELECT 1 / 0"), stage.errors.Error)
        assert isinstance(failure(conn.commit), TransactionLost)
        stage.insert(conn, f"{stage.key}-after")
    assert (stage.count(), stage.count(f"{stage.key}-after")) == (0, 1)


def test_explicit_begin_in_autocommit_mode(psycopg_stage: Stage) -> None:
    """BEGIN as a statement opens a transaction too; COMMIT as a statement is a COMMIT."""
    stage = psycopg_stage
    with stage.db.connection() as conn, conn.cursor() as cursor:
        stage.set(conn, "autocommit", True)
        cursor.execute("BEGIN")
        cursor.execute(INSERT, (stage.key,))
        stage.cut(COMMIT, False)
        assert isinstance(failure(cursor.execute, "COMMIT"), OutcomeUnknown)
    assert stage.count() == 1
