"""The two families of servers that are simulated: their codes and their probes, read by the real dialects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clustersql.dialects import Dialect, by_name
from clustersql.dialects.mysql import guard as mysql
from clustersql.dialects.postgresql import guard as postgresql
from clustersql.dialects.postgresql.bookmarks import LOOK

Code = tuple[str | None, int | None, str]
"""SQLSTATE, error number, text."""


@dataclass(frozen=True)
class Family:
    """What a family answers.  ``keeps_sessions``: a demotion leaves the sessions open, and their writes are refused."""

    dialect: Dialect
    lost: Code
    refused: Code
    read_only: Code
    starting: Code
    full: Code
    deadlock: Code
    duplicate: Code
    ambiguous: Code
    keeps_sessions: bool
    fails_transactions: bool
    """After an error the transaction takes nothing more, and COMMIT rolls it back and reports success."""
    told: Callable[[str, bool, int, tuple[int, int | None], str], list[tuple[Any, ...]]]
    """The answer to a statement of the probe, or to `LOOK`, by whether the node is a replica, its epoch, the length of
    its journal and that at which it was promoted, and which start of it this is.
    """
    remember: str
    """Leaves a value in the session."""
    recall: str
    put: str
    """A write that does no harm when it is done twice."""
    waited: Code
    """It has waited for somebody's row as long as it may."""
    identify: tuple[str, ...]
    """Asks a session which one it is, for the commit guard."""
    born: Callable[[str, int, float], list[tuple[Any, ...]]]
    """The answer, by the statement, the session's number and the server's clock."""


SYSTEM = "7300000000000000001"
HISTORY = "pg_read_file"

At = tuple[int, int | None]


def _postgresql_told(statement: str, replica: bool, epoch: int, at: At, since: str) -> list[tuple[Any, ...]]:
    timeline, follows = (None, epoch) if replica else (f"{epoch:08X}", None)
    length, forked_at = at
    if statement == LOOK:
        return [(replica, length * 100, timeline, follows, SYSTEM, since)]
    state = (replica, "off", "18.0", "100", "3", False, False, length * 100)
    forked_at = None if replica or forked_at is None else forked_at * 100
    # No address of its own: each name leads to one server.
    return [(*state, SYSTEM, timeline, since, follows, follows, forked_at, None)]


def _mysql_told(statement: str, replica: bool, epoch: int, at: At, since: str) -> list[tuple[Any, ...]]:
    if "STATUS" in statement:
        return [("Ssl_cipher", "")]
    return [("read_only", "ON" if replica else "OFF"), ("version", "11.8.2-MariaDB"), ("max_connections", "151")]


def _postgresql_born(statement: str, number: int, now: float) -> list[tuple[Any, ...]]:
    return [(number, number * 1_000_000, now)]


def _mysql_born(statement: str, number: int, now: float) -> list[tuple[Any, ...]]:
    return [("Uptime", str(now))] if "STATUS" in statement else [(number, "server|3306|1", now)]


INSERT = "INSERT INTO journal (place, token) VALUES (%s, %s)"
SELECT = "SELECT token FROM journal WHERE place = %s"
CALL = "CALL enter(%s, %s)"

POSTGRESQL = Family(
    dialect=by_name("postgresql"),
    lost=(None, None, "server closed the connection unexpectedly"),
    refused=(None, None, "connection to server failed: Connection refused"),
    read_only=("25006", None, "cannot execute INSERT in a read-only transaction"),
    starting=("57P03", None, "the database system is starting up"),
    full=("53300", None, "sorry, too many clients already"),
    deadlock=("40P01", None, "deadlock detected"),
    duplicate=("23505", None, "duplicate key value violates unique constraint"),
    ambiguous=("40003", None, "statement completion unknown"),
    keeps_sessions=False,
    fails_transactions=True,
    told=_postgresql_told,
    remember="SELECT set_config('app.who', %s, false)",
    recall="SELECT current_setting('app.who', true)",
    put="INSERT INTO journal (place, token) VALUES (%s, %s) ON CONFLICT DO NOTHING",
    waited=("55P03", None, "canceling statement due to lock timeout"),
    identify=(postgresql.IDENTIFY,),
    born=_postgresql_born,
)

MYSQL = Family(
    dialect=by_name("mysql"),
    lost=(None, 2013, "Lost connection to server during query"),
    refused=(None, 2003, "Can't connect to server"),
    read_only=(
        "HY000",
        1290,
        "The MariaDB server is running with the --read-only option so it cannot execute this statement",
    ),
    starting=(None, 2013, "Lost connection to server at 'handshake'"),
    full=("08004", 1040, "Too many connections"),
    deadlock=("40001", 1213, "Deadlock found when trying to get lock"),
    duplicate=("23000", 1062, "Duplicate entry"),
    ambiguous=("HY000", 1180, "Got error 131 during COMMIT"),
    keeps_sessions=True,
    fails_transactions=False,
    told=_mysql_told,
    remember="SET @who = %s",
    recall="SELECT @who",
    put="REPLACE INTO journal (place, token) VALUES (%s, %s)",
    waited=("HY000", 1205, "Lock wait timeout exceeded"),
    identify=mysql.IDENTIFY,
    born=_mysql_born,
)
