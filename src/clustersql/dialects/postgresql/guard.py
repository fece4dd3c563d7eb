"""The commit guard's statements for PostgreSQL.  What each order of them ends in is pinned by tests on real servers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.guard.resolve import Answer, Birth, Fence
from ...core.guard.table import Table
from ...core.view.node import Epoch
from .. import Rows
from ..guarding import Guarding

WAIT = 250
"""Milliseconds that a fence waits for the old transaction before that is looked at."""

# The same words as in the probe, so that the two epochs can be compared.
_HISTORY = (
    "(SELECT system_identifier FROM pg_catalog.pg_control_system())::text, "
    "substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"
)


def create(commits: str, keys: str) -> tuple[str, ...]:
    """Logged tables: one that is emptied by a crash would turn what has committed into void."""
    return (
        f"CREATE TABLE IF NOT EXISTS {commits} (token uuid PRIMARY KEY, fate \"char\" NOT NULL DEFAULT 'c', "
        "at timestamptz NOT NULL DEFAULT clock_timestamp(), seen timestamptz)",
        f"CREATE TABLE IF NOT EXISTS {keys} (key text PRIMARY KEY, token uuid NOT NULL, "
        "at timestamptz NOT NULL DEFAULT clock_timestamp(), keep_until timestamptz NOT NULL)",
    )


def grant(commits: str, keys: str, user: str) -> tuple[str, ...]:
    """SELECT is for RETURNING."""
    name = user.replace('"', '""')
    return (f'GRANT SELECT, INSERT, UPDATE, DELETE ON {commits}, {keys} TO "{name}"',)


def insert(table: str, token: bytes) -> str:
    """The token is written as 32 digits: no parameter, so that it fits into the simple protocol."""
    return f"INSERT INTO {table} (token) VALUES ('{token.hex()}')"


def fence(table: str, token: bytes) -> Fence:
    """READ COMMITTED whatever the session's default: above it, an upsert that has waited is refused (40001)."""
    lasting = (
        f"(SELECT relpersistence = 'p' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({_quoted(table)}))"
    )
    upsert = (
        f"INSERT INTO {table} (token, fate) VALUES ('{token.hex()}', 'v') "
        f"ON CONFLICT (token) DO UPDATE SET seen = clock_timestamp() RETURNING fate::text, {_HISTORY}, {lasting}"
    )
    return Fence(
        ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", f"SET LOCAL lock_timeout = {WAIT}", upsert, "COMMIT"),
        _answer,
        blocked=frozenset({"55P03"}),
        missing=REFUSED - {"25006"},  # a primary that is just being demoted
        identify=(IDENTIFY,),
        born=_born,
        end=_end,
    )


def _answer(answers: Sequence[Rows]) -> Answer:
    fate, system, timeline, lasting = answers[2][0]
    epoch = Epoch(f"system identifier {system}", int(timeline, 16))
    return Answer(fate == "c", epoch, "" if lasting else "a crash empties it (UNLOGGED)")


IDENTIFY = (
    "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint, extract(epoch FROM clock_timestamp())::float8 "
    "FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()"
)


def _born(answers: Sequence[Rows]) -> Birth:
    """A process number and its start to the microsecond are no other session's, on whichever server."""
    pid, started, clock = answers[0][0]
    return Birth("", float(started), int(pid), float(clock))


def _end(old: Birth, here: Birth) -> tuple[str, ...]:
    """One statement, so that the session cannot go on between the look and the end.  One that commits is active, and
    never ended.
    """
    return (
        f"SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = {old.number} "
        f"AND (extract(epoch FROM backend_start) * 1000000)::bigint = {old.since:.0f} "
        "AND state = 'idle in transaction' AND xact_start IS NOT NULL",
    )


_QUIETLY = "(SELECT pg_catalog.set_config('synchronous_commit', 'off', true)) AS quietly"
"""Lets a DELETE not wait for its log: one that is lost in a crash leaves rows that are deleted later."""


def delete(table: str, tokens: Sequence[bytes]) -> tuple[str, ...]:
    """One statement, which is a transaction of its own."""
    listed = ",".join(token.hex() for token in tokens)
    return (f"DELETE FROM {table} AS t USING {_QUIETLY} WHERE t.token = ANY('{{{listed}}}'::uuid[])",)


def sweep(table: str, seconds: float) -> tuple[str, ...]:
    """By the server's clock."""
    return (
        f"DELETE FROM {table} AS t USING {_QUIETLY} WHERE t.at < clock_timestamp() - interval '{seconds:.0f} seconds'",
    )


def lapse(keys: str) -> tuple[str, ...]:
    """By the server's clock."""
    return (f"DELETE FROM {keys} AS t USING {_QUIETLY} WHERE t.keep_until < clock_timestamp()",)


def claim(keys: str, key: str, token: bytes, keep: float) -> tuple[str, ...]:
    """The upsert waits for whoever has just written the same key; a key that is kept no longer is written anew."""
    name = f"convert_from(decode('{key.encode().hex()}', 'hex'), 'UTF8')"
    until = f"clock_timestamp() + interval '{keep:.6f} seconds'"
    upsert = (
        f"INSERT INTO {keys} AS k (key, token, keep_until) VALUES ({name}, '{token.hex()}', {until}) ON CONFLICT (key)"
        " DO UPDATE SET token = excluded.token, at = clock_timestamp(), keep_until = excluded.keep_until WHERE"
        " k.keep_until < clock_timestamp()"
    )
    return upsert, f"SELECT token = '{token.hex()}', at FROM {keys} WHERE key = {name}"


def table(named: Table, database: str | None) -> Table:
    """Always with its schema: a search_path is the caller's to change."""
    return named if named.schema else Table("public", named.name)


def present(named: Table) -> tuple[str, ...]:
    """Ask for the table, and for all the privileges that are needed."""
    table = f"pg_catalog.to_regclass({_literal(named)})"
    needed = (
        "'SELECT') AND pg_catalog.has_table_privilege({0}::oid, 'INSERT')"
        " AND pg_catalog.has_table_privilege({0}::oid, 'DELETE'"
    )
    allowed = f"pg_catalog.has_table_privilege({table}::oid, {needed.format(table)})"
    return (f"SELECT {table} IS NOT NULL, coalesce({allowed}, false)",)


def persistent(named: Table) -> str:
    """Ask whether it is logged; and whether a publication of all tables sends the tokens on to subscribers that lack
    the table.
    """
    return (
        "SELECT coalesce((SELECT relpersistence = 'p' FROM pg_catalog.pg_class WHERE oid ="
        f" pg_catalog.to_regclass({_literal(named)})), false), coalesce((SELECT 'publication ' || string_agg(pubname,"
        " ', ') || ' is FOR ALL TABLES: a subscriber that lacks the table stops' FROM pg_catalog.pg_publication WHERE"
        " puballtables), '')"
    )


def _literal(named: Table) -> str:
    return _quoted(named.quoted('"'))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


REFUSED: frozenset[str | int] = frozenset(
    {"42501", "42P01", "25006", "3F000", "42703", "42804", "42809", "22P02", "23502", "42P10"}
)

GUARDING = Guarding(
    create=create,
    grant=grant,
    insert=insert,
    # One text in the simple protocol: the server executes nothing of it after an error, so no COMMIT goes unguarded.
    fold=lambda version, statement: f"{statement}; COMMIT",
    fence=fence,
    delete=delete,
    sweep=sweep,
    lapse=lapse,
    claim=claim,
    table=table,
    present=present,
    persistent=persistent,
    refused=REFUSED,
    taken=frozenset({"23505"}),
    unguards=re.compile(
        r"\bread[ _]only\b|\bset\s+(?:local\s+|session\s+)?(?:role|session\s+authorization)\b|\bset_config\b.*\brole\b",
        re.IGNORECASE | re.DOTALL,
    ),
)
