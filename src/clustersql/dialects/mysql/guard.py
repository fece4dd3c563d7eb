"""The commit guard's statements for MySQL, MariaDB and Galera.

One fence for all of them: MySQL has no RETURNING, and in autocommit mode Galera would answer one with the rows of an
attempt that it has undone (``wsrep_retry_autocommit``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.guard.resolve import Answer, Birth, Fence
from ...core.guard.table import DEFAULT, Table
from .. import Rows
from ..guarding import Guarding
from .members import text

WAIT = 1
"""Seconds that a fence waits for the old transaction before that is looked at: the least that InnoDB takes."""
SAME_START = 3.0
"""Seconds by which two answers about the start of one server may differ: each is rounded to seconds."""
KEY = re.compile(r"(?:PRIMARY|UNIQUE) KEY(?: `[^`]+`)? \(`token`\)")
"""Finds, in the answer to SHOW CREATE TABLE, that no two rows have the same token: else a fence would take no place."""


def create(commits: str, keys: str) -> tuple[str, ...]:
    """InnoDB, whatever the server's default.  The key is binary: a collation would take two keys for one."""
    return (
        f"CREATE TABLE IF NOT EXISTS {commits} (token BINARY(16) NOT NULL PRIMARY KEY, "
        "fate CHAR(1) CHARACTER SET ascii NOT NULL DEFAULT 'c', "
        "at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), seen TIMESTAMP(6) NULL DEFAULT NULL) ENGINE=InnoDB",
        f"CREATE TABLE IF NOT EXISTS {keys} (`key` VARBINARY(800) NOT NULL PRIMARY KEY, token BINARY(16) NOT NULL, "
        "at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), "
        "keep_until TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB",
    )


def grant(commits: str, keys: str, user: str) -> tuple[str, ...]:
    """For the user from any host."""
    name = user.replace("'", "''")
    return tuple(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO '{name}'@'%'" for table in (commits, keys))


def insert(table: str, token: bytes) -> str:
    """The token is written in hexadecimal: no parameter."""
    return f"INSERT INTO {table} (token) VALUES (X'{token.hex()}')"


def fold(version: str, statement: str) -> str:
    """MariaDB's compound statement, which an error of the INSERT leaves before it comes to COMMIT.  MySQL has none."""
    return f"BEGIN NOT ATOMIC {statement}; COMMIT; END" if "mariadb" in version.lower() else ""


def fence(table: str, token: bytes) -> Fence:
    """A transaction: its answer counts only after its COMMIT, which certification may refuse (1213, 3101)."""
    name = f"X'{token.hex()}'"
    return Fence(
        (
            f"SET SESSION innodb_lock_wait_timeout = {WAIT}",
            f"SHOW CREATE TABLE {table}",
            "START TRANSACTION",
            f"INSERT INTO {table} (token, fate) VALUES ({name}, 'v') "
            "ON DUPLICATE KEY UPDATE seen = CURRENT_TIMESTAMP(6)",
            f"SELECT fate FROM {table} WHERE token = {name} FOR UPDATE",
            "COMMIT",
        ),
        _answer,
        blocked=frozenset({1205}),
        missing=REFUSED - {1792},
        identify=IDENTIFY,
        born=_born,
        end=_end,
    )


def _answer(answers: Sequence[Rows]) -> Answer:
    form = text(answers[1][0][1])
    unfit = "" if "ENGINE=InnoDB" in form else "its engine is not InnoDB"
    return Answer(text(answers[4][0][0]) == "c", unfit=unfit or ("" if KEY.search(form) else "its token is no key"))


IDENTIFY = (
    "SELECT CONNECTION_ID(), CONCAT_WS('|', @@hostname, @@port, @@server_id), UNIX_TIMESTAMP(NOW(6))",
    "SHOW GLOBAL STATUS LIKE 'Uptime'",
)


def _born(answers: Sequence[Rows]) -> Birth:
    """A number is given once for as long as a server runs, so the server and its start tell whose it is."""
    number, server, clock = answers[0][0]
    return Birth(text(server), float(clock) - float(answers[1][0][1]), int(number), float(clock))


def _end(old: Birth, here: Birth) -> tuple[str, ...]:
    """Only where it waits for its client.  One that commits is at work, perhaps waits for a replica's word
    (semi-synchronous), and is left to that.
    """
    if old.server != here.server or abs(old.since - here.since) > SAME_START:
        return ()
    idle = f"SELECT 'KILL {old.number}' FROM information_schema.PROCESSLIST WHERE ID = {old.number}"
    return (
        f"SET @clustersql_end = COALESCE(({idle} AND COMMAND = 'Sleep'), 'DO 0')",
        "PREPARE clustersql_end FROM @clustersql_end",
        "EXECUTE clustersql_end",
    )


def _alone(statement: str) -> tuple[str, ...]:
    return "START TRANSACTION", statement, "COMMIT"


def delete(table: str, tokens: Sequence[bytes]) -> tuple[str, ...]:
    """In a transaction, whatever the session's mode."""
    listed = ", ".join(f"X'{token.hex()}'" for token in tokens)
    return _alone(f"DELETE FROM {table} WHERE token IN ({listed})")


def sweep(table: str, seconds: float) -> tuple[str, ...]:
    """A thousand at a time: Galera refuses a write-set that is too large."""
    return _alone(f"DELETE FROM {table} WHERE at < CURRENT_TIMESTAMP(6) - INTERVAL {seconds:.0f} SECOND LIMIT 1000")


def lapse(keys: str) -> tuple[str, ...]:
    """A thousand at a time, likewise."""
    return _alone(f"DELETE FROM {keys} WHERE keep_until < CURRENT_TIMESTAMP(6) LIMIT 1000")


def claim(keys: str, key: str, token: bytes, keep: float) -> tuple[str, ...]:
    """The upsert waits for whoever has just written the same key.  Its assignments are made from left to right, so the
    time is the last.
    """
    name, mine = f"X'{key.encode().hex()}'", f"X'{token.hex()}'"
    upsert = (
        f"INSERT INTO {keys} (`key`, token, keep_until) "
        f"VALUES ({name}, {mine}, CURRENT_TIMESTAMP(6) + INTERVAL {keep:.6f} SECOND) "
        "ON DUPLICATE KEY UPDATE token = IF(keep_until < CURRENT_TIMESTAMP(6), VALUES(token), token), "
        "at = IF(keep_until < CURRENT_TIMESTAMP(6), CURRENT_TIMESTAMP(6), at), "
        "keep_until = IF(keep_until < CURRENT_TIMESTAMP(6), VALUES(keep_until), keep_until)"
    )
    return upsert, f"SELECT token = {mine}, at FROM {keys} WHERE `key` = {name} FOR UPDATE"


def table(named: Table, database: str | None) -> Table:
    """In the node's own database, so that it is replicated with the data; ``USE`` is the caller's."""
    if str(named) == DEFAULT or not named.schema:
        return Table(database or "", named.name)
    return named


def present(named: Table) -> tuple[str, ...]:
    """Write nothing into the table itself: a missing privilege or table is an error all the same."""
    name = named.quoted("`")
    return f"INSERT INTO {name} SELECT * FROM {name} WHERE 1 = 0", "SELECT 1, 1"


def persistent(named: Table) -> str:
    """Ask for its engine."""
    schema = _literal(named.schema) if named.schema else "DATABASE()"
    return (
        f"SELECT COALESCE(MAX(engine = 'InnoDB'), 0), '' FROM information_schema.tables "
        f"WHERE table_schema = {schema} AND table_name = {_literal(named.name)}"
    )


def _literal(name: str) -> str:
    """In hexadecimal: what a backslash is in a text depends on the session's sql_mode."""
    return f"_utf8mb4 X'{name.encode().hex()}'"


REFUSED: frozenset[str | int] = frozenset(
    {1044, 1049, 1054, 1136, 1142, 1143, 1146, 1290, 1364, 1366, 1406, 1792, 1836}
)

GUARDING = Guarding(
    create=create,
    grant=grant,
    insert=insert,
    fold=fold,
    fence=fence,
    delete=delete,
    sweep=sweep,
    lapse=lapse,
    claim=claim,
    table=table,
    present=present,
    persistent=persistent,
    refused=REFUSED - {1290, 1836},  # of a server that was demoted meanwhile: news about the node
    taken=frozenset({1062}),
    # END follows COMMIT: who is ended there (KILL QUERY, max_statement_time) may have committed.
    unproven=frozenset({1317, 1969, 3024}),
    unguards=re.compile(r"\bread[ _]only\b|\bset\s+role\b|\btransaction_read_only\b|\btx_read_only\b", re.IGNORECASE),
)
