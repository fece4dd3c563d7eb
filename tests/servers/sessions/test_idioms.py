"""Idioms of the drivers' own programs: what leaves nothing behind costs nothing, and what does is undone at
the return.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import aiomysql.cursors
import MySQLdb.cursors
import psycopg
import psycopg2.extensions
import psycopg2.extras
import psycopg2.sql
import pymysql.cursors
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from servers.sessions.test_reconnecting import lose
from support.face import FaceCursor
from support.stage import Stage, execute, failure, rows

from clustersql import ConfigError

Idiom = Callable[[Any], Any]


def assigned(name: str, value: Any) -> Idiom:
    """Set an attribute of the connection."""
    return lambda conn: setattr(conn, name, value)


def named(**arguments: Any) -> Idiom:
    """Give a cursor's ``execute`` its arguments by name."""

    def by_name(conn: Any) -> None:
        cursor = conn.cursor()
        execute = partial(cursor._call, "execute") if isinstance(cursor, FaceCursor) else cursor.execute
        execute(**arguments)
        cursor.fetchall()

    return by_name


def ran(operation: Any, *parameters: Any) -> Idiom:
    """Execute what is no plain text."""
    return lambda conn: execute(conn, operation, *parameters).fetchall()


def put(name: str, key: Any, value: Any) -> Idiom:
    """Change a registry in place."""

    def changed(conn: Any) -> None:
        getattr(conn, name)[key] = value

    return changed


_LONG = "SELECT " + ", ".join(["'0123456789'"] * 3) + " WHERE 1 IN (" + ", ".join(map(str, range(50_000))) + ")"
_PSYCOPG: list[Idiom] = [
    assigned("row_factory", dict_row),
    assigned("prepare_threshold", 1),
    assigned("prepared_max", 7),
    ran(sql.SQL("SELECT {} AS {}").format(sql.Literal(1), sql.Identifier("Count"))),
    ran(b"SELECT 1"),
    ran(_LONG),
    named(query="SELECT %s::int", params=(1,)),
    named(query="SELECT 1", prepare=True, binary=True),
    lambda conn: set_json_loads(lambda text: "mine", conn),
    lambda conn: conn.add_notice_handler(lambda notice: None),
    lambda conn: conn.info.backend_pid,
    lambda conn: conn.pgconn.backend_pid,
    lambda conn: conn.pgconn.parameter_status(b"server_version"),
]
_MYSQL: list[Idiom] = [ran(_LONG.replace(" WHERE", " FROM events WHERE")), lambda conn: conn.autocommit]
_PYMYSQL: list[Idiom] = [
    assigned("cursorclass", pymysql.cursors.DictCursor),
    put("decoders", 253, lambda value: "mine"),
    put("encoders", complex, lambda value, mapping=None: "'mine'"),
    ran(b"SELECT 1"),
    named(query="SELECT %s", args=(1,)),
    lambda conn: conn.thread_id(),
    lambda conn: conn.show_warnings(),
]
IDIOMS: dict[str, list[Idiom]] = {
    "psycopg": [*_PSYCOPG, assigned("cursor_factory", psycopg.ClientCursor)],
    "psycopg-aio": [*_PSYCOPG, assigned("cursor_factory", psycopg.AsyncClientCursor)],
    "psycopg2": [
        assigned("cursor_factory", psycopg2.extras.RealDictCursor),
        ran(psycopg2.sql.SQL("SELECT {} AS {}").format(psycopg2.sql.Literal(1), psycopg2.sql.Identifier("Count"))),
        ran(b"SELECT 1"),
        ran(_LONG),
        named(query="SELECT %s", vars=(1,)),
        put("string_types", 25, psycopg2.BINARY),
        lambda conn: psycopg2.extras.execute_values(
            conn.cursor(), "INSERT INTO counters VALUES %s ON CONFLICT DO NOTHING", [("idiom", n) for n in range(3)]
        ),
        lambda conn: conn.info.backend_pid,
        lambda conn: conn.cursor().mogrify("SELECT %s", (1,)),
    ],
    "pg8000": [
        named(operation="SELECT %s", args=(1,)),
        ran(_LONG),
        lambda conn: conn.register_out_adapter(complex, str),
        lambda conn: conn.register_in_adapter(3802, lambda text: "mine"),
    ],
    "asyncpg": [ran(_LONG), lambda conn: conn.get_server_pid(), lambda conn: conn._call("fetch", query="SELECT 1")],
    "pymysql": [*_MYSQL, *_PYMYSQL],
    "mysqlclient": [
        *_MYSQL,
        assigned("cursorclass", MySQLdb.cursors.DictCursor),
        put("converter", 253, lambda value: "mine"),
        ran(b"SELECT 1"),
        named(query="SELECT %s", args=(1,)),
        lambda conn: conn.stat(),
    ],
    "mysql-connector": [
        *_MYSQL,
        named(operation="SELECT %s", params=(1,)),
        lambda conn: conn.is_connected(),
        assigned("get_warnings", True),
    ],
    "mariadb": [*_MYSQL, named(statement="SELECT ?", data=(1,))],
    "aiomysql": [*_MYSQL[:1], *_PYMYSQL[1:], assigned("cursorclass", aiomysql.cursors.DictCursor)],
    "asyncmy": [
        *_MYSQL[:1],
        named(query="SELECT %s", args=(1,)),
        lambda conn: conn.thread_id(),
    ],
}

_BEGIN: Idiom = lambda conn: conn.begin()  # noqa: E731 - in a list with others
_SELECT_DB: Idiom = lambda conn: conn.select_db("app")  # noqa: E731
AT_FIRST: dict[str, list[Idiom]] = {
    **{name: [_BEGIN, _SELECT_DB] for name in ("pymysql", "mariadb", "aiomysql", "asyncmy")},
    "mysqlclient": [_BEGIN],  # which has no reset: after select_db the session is closed
    "psycopg": [assigned("isolation_level", 4), assigned("deferrable", True)],
    "psycopg-aio": [lambda conn: conn.set_isolation_level(4), lambda conn: conn.set_deferrable(True)],
    "psycopg2": [assigned("isolation_level", 3), lambda conn: conn.set_session("SERIALIZABLE", deferrable=True)],
    "mysql-connector": [lambda conn: conn.start_transaction(isolation_level="SERIALIZABLE")],
}
"""What the driver refuses within a transaction, or the server ends it by."""


def kept(stage: Stage, raw: Any) -> dict[str, Any]:
    """What the driver's object holds that a caller can change."""
    table = stage.cluster.driver.connection_names
    found = {
        name: getattr(raw, name, None) for name, effect in table.effects.items() if effect.value in ("local", "access")
    }
    found |= {name: getattr(raw, name) for name, effect in table.effects.items() if effect.value == "lent"}
    if "adapters" in found:
        loaders = found["adapters"]._loaders
        found["adapters"] = [dict(each) for each in loaders]
        found["handlers"] = list(raw._notice_handlers)
    return {name: dict(value) if isinstance(value, dict) else value for name, value in found.items()}


def test_they_cost_nothing(stage: Stage) -> None:
    """No pin, `run` runs again, and the next user has the same session as it was."""
    attempts: list[Any] = []

    def work(conn: Any) -> None:
        for idiom in (*AT_FIRST.get(stage.driver, []), *IDIOMS[stage.driver]):
            idiom(conn)
            assert conn.pins == ()
        stage.insert(conn)
        attempts.append(stage.raw(conn))
        if len(attempts) == 1:
            lose(stage, conn)
            stage.insert(conn)

    stage.db.run(work)
    assert (len(attempts), stage.count()) == (2, 1)


def test_they_leave_nothing(stage: Stage) -> None:
    """What was set, changed or registered is the former caller's alone."""
    with stage.db.connection() as conn:
        raw = stage.raw(conn)
        before = kept(stage, raw)
        for idiom in (*AT_FIRST.get(stage.driver, []), *IDIOMS[stage.driver]):
            idiom(conn)
        changed = kept(stage, raw)
    assert changed != before or stage.driver in ("asyncpg", "mariadb", "asyncmy")
    with stage.db.connection() as conn:
        assert stage.raw(conn) is raw
        assert kept(stage, raw) == before


def test_they_go_along_in_a_move(stage: Stage) -> None:
    """The session is lost where nothing is lost with it: the next one's object is the same to the caller."""
    with stage.db.connection() as conn:
        for idiom in AT_FIRST.get(stage.driver, []):
            idiom(conn)
        for idiom in IDIOMS[stage.driver]:
            idiom(conn)
        conn.rollback()
        raw = stage.raw(conn)
        wanted = kept(stage, raw)
        lose(stage, conn)
        stage.insert(conn)
        moved = stage.raw(conn)
        assert moved is not raw
        assert kept(stage, moved).keys() == wanted.keys()
        told = {
            name: value
            for name, value in kept(stage, moved).items()
            if name != "converter" or stage.driver == "mysqlclient"
        }
        assert told == {name: value for name, value in wanted.items() if name in told}


def test_what_a_hook_has_set_comes_back(psycopg_stage: Stage) -> None:
    """The caller's None is not the pool's."""
    stage = psycopg_stage

    def hook(raw: Any) -> Any:
        stage.cluster.driver.put(raw, "isolation_level", psycopg.IsolationLevel.SERIALIZABLE)
        stage.cluster.driver.put(raw, "row_factory", dict_row)

    with stage.make(on_connect=hook, max_size=1).open() as db:
        for _ in range(2):
            with db.connection() as conn:
                assert execute(conn, "SHOW transaction_isolation").fetchone() == {
                    "transaction_isolation": "serializable"
                }
            with db.connection() as conn:
                stage.set(conn, "isolation_level", None)
                conn.row_factory = psycopg.rows.tuple_row
                assert rows(execute(conn, "SHOW transaction_isolation")) == [("read committed",)]


@pytest.mark.parametrize("name", ["read_only", "readonly"])
def test_read_only_is_not_taken_back(stage: Stage, name: str) -> None:
    """Psycopg's and psycopg2's attribute would begin transactions that may write."""
    if stage.driver not in {"read_only": ("psycopg", "psycopg-aio"), "readonly": ("psycopg2",)}[name]:
        return
    with stage.db.connection(read_only=True) as conn:
        for value in (False, None):
            assert isinstance(failure(stage.set, conn, name, value), ConfigError)
        stage.set(conn, name, True)
        assert isinstance(failure(stage.insert, conn), stage.errors.Error)
        conn.rollback()
    assert stage.count() == 0


def test_a_function_that_a_move_would_lose_is_not_lost_silently(stage: Stage) -> None:
    """What cannot be taken along still pins, and closes the session at its return."""
    if stage.driver != "asyncpg":
        return
    with stage.db.connection() as conn:
        conn.set_type_codec("json", encoder=str, decoder=lambda text: "mine", schema="pg_catalog")
        assert [pin.what for pin in conn.pins] == ["set_type_codec()"]
        raw = stage.raw(conn)
        assert conn.fetchval("SELECT '{}'::json") == "mine"
        lose(stage, conn)
        assert failure(stage.insert, conn) is not None
        assert failure(stage.insert, conn) is not None
        conn.rollback()
    with stage.db.connection() as conn:
        assert stage.raw(conn) is not raw
        assert conn.fetchval("SELECT '{}'::json") == "{}"
