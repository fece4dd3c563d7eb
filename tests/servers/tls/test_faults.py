"""The faults of tests/servers once more, through TLS: one driver for threads and one of asyncio per database.

The proxy cannot read what passes, but the length of a record is no secret: that of a COMMIT is always the same, and
this stage's key makes the statement that holds it longer than any other that is sent until then.  Were the lengths
others, nothing would be cut, and the tests would fail.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers.guarantees import test_commit_held as commit_held
from servers.guarantees import test_guarantees_autocommit as autocommit
from servers.guarantees import test_guarantees_commit as commit
from servers.guarantees import test_guarantees_transaction as transaction
from servers.trouble import test_forgotten as forgotten
from servers.trouble import test_frozen as frozen
from support.stage import INSERT, SELECT, Stage
from support.waiting import eventually

from clustersql.testing import FaultProxy

RECORD = rb"\x17\x03\x03\x00"
"""The head of a record of TLS 1.3 with data in it, less than 256 bytes (RFC 8446, 5.2); the last byte of its length
follows.
"""
SEALED = 17
"""Bytes by which such a record is longer than what is sent: its inner type and the tag of AES-GCM (RFC 8446, 5.2 and
5.3).
"""
COMMITS = {"psycopg": b"Q\0\0\0\x0bCOMMIT\0", "asyncpg": b"Q\0\0\0\x0bCOMMIT\0", "pymysql": b"\x07\0\0\0\x03COMMIT"}
COMMITS["asyncmy"] = COMMITS["pymysql"]


class EncryptedStage(Stage):
    """A stage whose connections are encrypted."""

    def __init__(self, driver: str, server: Any, a: FaultProxy, b: FaultProxy) -> None:
        super().__init__(driver, server, a, b)
        self.key *= 3  # 99 bytes, and the columns take 100

    def address(self, port: int) -> dict[str, Any]:
        plain = super().address(port)
        if self.driver in ("psycopg", "asyncpg"):
            return plain | {"sslmode": "verify-ca", "sslrootcert": self.server.ca_file}
        if self.driver == "pymysql":
            return plain | {"ssl_disabled": False, "ssl_ca": self.server.ca_file, "ssl_verify_cert": True}
        return plain | {"ssl": ssl.create_default_context(cafile=self.server.ca_file)}

    def rest(self) -> None:
        """Wait until no login is under way, by way of a probe: its records are as long as the key's, and would be taken
        for it.

        The connection for probes may have been lent to a caller, and is dialled anew a moment later.
        """
        kept = lambda cluster: cluster.open()._pool._prober._kept.names  # noqa: E731
        eventually(lambda: all(set(kept(cluster)) == {"a", "b"} for cluster in self.clusters), timeout=5)

    @property
    def key_bytes(self) -> bytes:
        self.rest()  # asked for as the fault is set
        return RECORD + rb"[\x89-\xff]"

    @property
    def commit_bytes(self) -> bytes:
        self.rest()
        return RECORD + rb"\x%02x" % (len(COMMITS[self.driver]) + SEALED)


def encrypted(driver: str, request: pytest.FixtureRequest) -> Iterator[EncryptedStage]:
    server = request.getfixturevalue("encrypted_postgres" if driver in ("psycopg", "asyncpg") else "encrypted_mariadb")
    server.heal()
    with ExitStack() as stack:
        a, b = (stack.enter_context(FaultProxy(server.port("n1"))) for _ in "ab")
        stage = EncryptedStage(driver, server, a, b)
        stack.callback(stage.end)
        stage.db.execute("SELECT 1")  # the login's records are as long as the key's
        yield stage
    server.heal()


@pytest.fixture(params=COMMITS)
def stage(request: pytest.FixtureRequest) -> Iterator[EncryptedStage]:
    """A stage for each of the drivers."""
    yield from encrypted(request.param, request)


@pytest.fixture(params=["psycopg", "asyncpg"])
def postgres_stage(request: pytest.FixtureRequest) -> Iterator[EncryptedStage]:
    """A stage for those of PostgreSQL."""
    yield from encrypted(request.param, request)


@pytest.fixture
def postgres(stage: EncryptedStage) -> Any:
    """The server that `test_frozen` freezes."""
    return stage.server


@pytest.fixture
def database(stage: EncryptedStage) -> Any:
    """The database of `test_frozen`: one that notices quickly."""
    return stage.make(**frozen.TUNED).open()


quick = forgotten.quick
held = commit_held.held

# An answer is lost, before and after the server got the statement.
test_write_without_an_answer_is_unknown = autocommit.test_write_without_an_answer_is_unknown
test_idempotent_write_is_retried = autocommit.test_idempotent_write_is_retried
test_proven_read_is_retried = autocommit.test_proven_read_is_retried
test_first_statement_is_executed_again = transaction.test_first_statement_is_executed_again
test_commit_without_an_answer_is_unknown = commit.test_commit_without_an_answer_is_unknown
test_commit_of_proven_reads_is_a_success = commit.test_commit_of_proven_reads_is_a_success
# The session is killed, the node is demoted, or frozen.
test_session_terminated_in_the_middle = transaction.test_session_terminated_in_the_middle
test_refused_write_is_retried_when_the_failover_ends = autocommit.test_refused_write_is_retried_when_the_failover_ends
test_a_frozen_primary_is_waited_for = frozen.test_a_frozen_primary_is_waited_for
# The standby that a COMMIT waits for is not there.
test_held_commit_is_ended_by_the_deadline = commit_held.test_the_deadline_ends_it_and_says_that_nobody_knows
test_held_commit_is_waited_for = commit_held.test_it_goes_on_waiting_without_a_deadline_of_its_own
# The path is forgotten, or the time is over.
test_forgotten_read_goes_on_elsewhere = forgotten.test_proven_read_goes_on_elsewhere
test_forgotten_write_is_unknown = forgotten.test_write_is_unknown
test_forgotten_commit_is_unknown = forgotten.test_commit_is_unknown
test_statement_whose_time_is_over = forgotten.test_statement_whose_time_is_over_is_cancelled_on_the_server


def test_it_is_encrypted(stage: EncryptedStage) -> None:
    """Nothing of the statement can be read on the wire, and the server says so."""
    stage.a.cut_on(stage.key.encode(), before=True)
    stage.b.cut_on(stage.key.encode(), before=True)
    question = (
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        if stage.postgres
        else "SHOW STATUS LIKE 'Ssl_version'"
    )
    stage.db.execute(INSERT, (stage.key,))
    [row] = stage.db.execute(question).fetchall()
    assert row[-1] in (True, "TLSv1.3")
    assert stage.count() == 1


def test_kill_9_of_the_server(stage: EncryptedStage) -> None:
    """Who reads or runs waits until it is back; nothing is lost, nothing happens twice."""
    stage.db.run(stage.insert)
    stage.server.kill("n1")
    back = threading.Timer(0.3, stage.server.start, ("n1",))
    back.start()
    try:
        rows = stage.db.options(read_only=True).execute(SELECT, (stage.key,)).fetchall()
        stage.db.run(stage.insert, f"{stage.key}2")
    finally:
        back.join()
    assert [tuple(row) for row in rows] == [(stage.key,)]
    assert (stage.count(), stage.count(f"{stage.key}2")) == (1, 1)
