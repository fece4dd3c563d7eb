"""Our errors in the form of each driver's: what a program asks of an OperationalError, and what pickle and copy make of
it.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clustersql import NoNodeAvailable, OutcomeUnknown, PoolClosed, PoolTimeout, TransactionLost
from clustersql.drivers import ASYNC_NAMES, NAMES, load, load_async
from clustersql.errors import ClusterError, Form, bind, numbered

KINDS = [NoNodeAvailable, PoolTimeout, PoolClosed, OutcomeUnknown, TransactionLost]
DRIVERS = [*NAMES, *(f"{name}-aio" for name in ASYNC_NAMES)]
WHY = "it may have happened or not"

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
drivers = pytest.mark.parametrize("name", DRIVERS)


def adapter(name: str) -> Any:
    return load_async(name.removesuffix("-aio")) if name.endswith("-aio") else load(name)


def ours(name: str, kind: type[ClusterError] = OutcomeUnknown, cause: BaseException | None = None) -> Any:
    """An error of ours over a driver; from ``cause`` if there is one."""
    error = bind(kind, adapter(name).operational_error)(WHY)
    if cause is None:
        return error
    try:
        raise error from cause
    except ClusterError as raised:
        return raised


PSYCOPG = {"sqlstate": None, "pgconn": None, "pgresult": None, "diag.sqlstate": None, "diag.message_primary": None}
NUMBERED = {"args": (0, WHY)}
ASKED: dict[str, dict[str, Any]] = {
    "sqlite3": {"sqlite_errorcode": 1, "sqlite_errorname": "SQLITE_ERROR"},
    "psycopg": PSYCOPG,
    "psycopg2": {"pgcode": None, "pgerror": None, "cursor": None, "diag.message_primary": None, "diag.sqlstate": None},
    "pg8000": {"args": ({"S": "ERROR", "V": "ERROR", "C": "HY000", "M": WHY},)},
    "pymysql": NUMBERED,
    "mysqlclient": NUMBERED,
    "mysql-connector": {"errno": -1, "sqlstate": None, "msg": WHY, "args": (-1, WHY, None)},
    "mariadb": {"errno": 0, "sqlstate": "HY000", "errmsg": WHY, "msg": WHY},
    "psycopg-aio": PSYCOPG,
    "asyncpg-aio": {"sqlstate": "08000", "message": WHY, "detail": None, "hint": None, "constraint_name": None},
    "aiomysql-aio": NUMBERED,
    "asyncmy-aio": NUMBERED,
}
ASKED["aiosqlite-aio"] = ASKED["sqlite3"]


def look(error: Any, name: str) -> Any:
    for part in name.split("."):
        error = getattr(error, part)
    return error


@drivers
@kinds
def test_what_is_asked_of_the_drivers_error_is_there(name: str, kind: type[ClusterError]) -> None:
    """With what the driver has where it knows nothing, or a general code; the text is our sentence."""
    for error in (ours(name, kind), ours(name, kind, OSError(2013, "no error of the driver's"))):
        assert {asked: look(error, asked) for asked in ASKED[name]} == ASKED[name]
        assert str(error) == WHY


# A conflict, as each driver tells it, and what a program reads from that.


def sqlite_busy() -> Any:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY, "SQLITE_BUSY"
    return error


def psycopg_deadlock() -> Any:
    from psycopg import errors, pq

    fields = {pq.DiagnosticField.SQLSTATE: b"40P01", pq.DiagnosticField.MESSAGE_PRIMARY: b"deadlock"}
    return errors.DeadlockDetected("deadlock", info=fields)


def psycopg2_deadlock() -> Any:
    import psycopg2.errors

    error = psycopg2.errors.DeadlockDetected("deadlock")
    error.__setstate__({"pgcode": "40P01", "pgerror": "ERROR: deadlock"})
    return error


def pg8000_deadlock() -> Any:
    from pg8000.dbapi import DatabaseError

    return DatabaseError({"S": "FEHLER", "V": "ERROR", "C": "40P01", "M": "deadlock"})


def connector_deadlock() -> Any:
    from mysql.connector import InternalError

    return InternalError("deadlock", errno=1213, sqlstate="40001")


def mariadb_deadlock() -> Any:
    import mariadb

    error = mariadb.OperationalError("deadlock")
    error.errno, error.sqlstate, error.errmsg = 1213, "40001", "deadlock"
    return error


def asyncpg_deadlock() -> Any:
    from asyncpg import PostgresError

    return PostgresError.new({"C": "40P01", "M": "deadlock", "D": "process 1 waits", "n": "t_pkey"})


def numbered_deadlock(module: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(module).OperationalError(1213, "deadlock")


psycopg_told = {"sqlstate": "40P01", "diag.sqlstate": "40P01", "diag.message_primary": "deadlock", "pgresult": None}
numbered_told = {"args": (1213, WHY)}
CAUSES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "sqlite3": (sqlite_busy, {"sqlite_errorcode": 5, "sqlite_errorname": "SQLITE_BUSY"}),
    "psycopg": (psycopg_deadlock, psycopg_told),
    "psycopg2": (psycopg2_deadlock, {"pgcode": "40P01", "pgerror": "ERROR: deadlock"}),
    "pg8000": (pg8000_deadlock, {"args": ({"S": "FEHLER", "V": "ERROR", "C": "40P01", "M": WHY},)}),
    "pymysql": (numbered_deadlock("pymysql"), numbered_told),
    "mysqlclient": (numbered_deadlock("MySQLdb"), numbered_told),
    "mysql-connector": (
        connector_deadlock,
        {"errno": 1213, "sqlstate": "40001", "msg": WHY, "args": (1213, WHY, "40001")},
    ),
    "mariadb": (mariadb_deadlock, {"errno": 1213, "sqlstate": "40001", "errmsg": WHY}),
    "psycopg-aio": (psycopg_deadlock, psycopg_told),
    "asyncpg-aio": (
        asyncpg_deadlock,
        {"sqlstate": "40P01", "message": WHY, "detail": "process 1 waits", "constraint_name": "t_pkey"},
    ),
    "aiomysql-aio": (numbered_deadlock("pymysql"), numbered_told),
    "asyncmy-aio": (numbered_deadlock("asyncmy.errors"), numbered_told),
}
CAUSES["aiosqlite-aio"] = CAUSES["sqlite3"]


def told(error: Any, name: str) -> dict[str, Any]:
    return {asked: look(error, asked) for asked in CAUSES[name][1]}


@drivers
@kinds
def test_codes_are_those_of_the_cause(name: str, kind: type[ClusterError]) -> None:
    """Also where another error stands between the two, or the cause is one of ours."""
    make, expected = CAUSES[name]
    between = ValueError("its settings could not be restored")
    between.__cause__ = make()
    for cause in (make(), between, ours(name, TransactionLost, make())):
        error = ours(name, kind, cause)
        assert told(error, name) == expected
        assert str(error) == WHY
        assert adapter(name).codes(error)[:2] == adapter(name).codes(make())[:2]


@drivers
@kinds
@pytest.mark.parametrize("caused", [False, True], ids=["alone", "caused"])
def test_a_copy_and_a_pickle_are_the_same(name: str, kind: type[ClusterError], caused: bool) -> None:
    cause = CAUSES[name][0]() if caused else None
    error = ours(name, kind, cause)
    error.add_note("clustersql: a note")
    error.attempts = [1, 2]
    before = told(error, name) if caused else {asked: look(error, asked) for asked in ASKED[name]}
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error), pickled_twice(error)):
        assert type(again) is type(error)
        assert isinstance(again, adapter(name).error)
        assert {asked: look(again, asked) for asked in before} == before
        assert (str(again), again.__notes__, again.attempts) == (WHY, ["clustersql: a note"], [1, 2])
        assert again.args == error.args
        assert type(again.__cause__) is type(cause)
    assert copy.copy(error).attempts is error.attempts
    assert copy.deepcopy(error).attempts is not error.attempts


def pickled_twice(error: Any) -> Any:
    return pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error)), protocol=0))


class Unpicklable(Exception):
    """It can be written, but not read: its class wants other arguments than it keeps."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@drivers
def test_what_cannot_be_pickled_stays_behind(name: str) -> None:
    """The error arrives all the same, with the names of all nodes, and with what it knew."""
    make, expected = CAUSES[name]
    held = OSError("held")
    held.lock = threading.Lock()  # type: ignore[attr-defined]
    cause = make()
    with contextlib.suppress(AttributeError):
        cause.lock = threading.Lock()
    errors = {"n1": make(), "n2": held, "n3": Unpicklable(1, 2), "n4": ours(name, PoolClosed)}
    error = bind(NoNodeAvailable, adapter(name).operational_error)(WHY, errors)
    error.__cause__ = cause
    error.lock = threading.Lock()
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), told(again, name)) == (type(error), WHY, expected)
    assert {node: str(one) for node, one in again.errors.items()} == {
        "n1": str(errors["n1"]),
        "n2": "OSError: held",
        "n3": "Unpicklable: 1 and 2",
        "n4": WHY,
    }
    assert not hasattr(again, "lock")
    for twin in (copy.copy(error), copy.deepcopy(error)):
        assert (twin.lock is error.lock, list(twin.errors)) == (True, ["n1", "n2", "n3", "n4"])


def test_no_password_goes_into_a_pickle() -> None:
    """Psycopg's error has the connection attempt, and that the connection string."""
    import psycopg

    with pytest.raises(psycopg.OperationalError) as failed:
        psycopg.connect("host=127.0.0.1 port=1 user=app password=hunter2")
    error = ours("psycopg", NoNodeAvailable, failed.value)
    error.errors["n1"] = failed.value
    assert error.pgconn is failed.value.pgconn
    assert b"hunter2" in bytes(error.pgconn.password)
    stored = pickle.dumps(error)
    assert b"hunter2" not in stored
    assert pickle.loads(stored).pgconn is None


ELSEWHERE = """
import json, pickle, sys
for name in sys.argv[3:]:
    sys.modules[name] = None                       # it is not installed
with open(sys.argv[1], "rb") as file:
    errors = pickle.load(file)
print(json.dumps([
    [type(e).__name__, str(e), getattr(e, "errno", None), repr(e.__cause__), [*map(repr, getattr(e, "errors", {}).values())]]
    for e in errors
]))
if sys.argv[2] != "-":
    with open(sys.argv[2], "wb") as file:
        pickle.dump(errors, file)
"""


def elsewhere(*arguments: object) -> Any:
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE, *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_another_process_is_told_the_same_and_tells_it_back(tmp_path: Path) -> None:
    """It has imported neither us nor a driver before."""
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(pickle.dumps([ours(name, OutcomeUnknown, CAUSES[name][0]()) for name in DRIVERS]))
    assert [one[:2] for one in elsewhere(there, back)] == [["OutcomeUnknown", WHY]] * len(DRIVERS)
    for name, error in zip(DRIVERS, pickle.loads(back.read_bytes()), strict=True):
        assert (type(error), told(error, name)) == (type(ours(name)), CAUSES[name][1])


def test_a_process_without_the_driver_gets_ours_alone(tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    unknown = ours("mysql-connector", OutcomeUnknown, connector_deadlock())
    none = bind(NoNodeAvailable, adapter("mysql-connector").operational_error)(WHY, {"n1": connector_deadlock()})
    stored.write_bytes(pickle.dumps([unknown, none]))
    assert elsewhere(stored, "-", "mysql", "mysql.connector") == [
        ["OutcomeUnknown", WHY, 1213, "RuntimeError('InternalError: 1213 (40001): deadlock')", []],
        ["NoNodeAvailable", WHY, -1, "None", ["RuntimeError('InternalError: 1213 (40001): deadlock')"]],
    ]


@drivers
@kinds
def test_made_anew_of_its_arguments(name: str, kind: type[ClusterError]) -> None:
    """As Django, Celery and others do it: the arguments are the same, and an error that has a number keeps it."""
    error = ours(name, kind, CAUSES[name][0]())
    again = type(error)(*error.args)
    assert (type(again), again.args) == (type(error), error.args)
    assert name == "pg8000" or str(again) == WHY
    again.args = ("other",)
    assert str(again) == "other"
    kind(*error.args)  # not bound to a driver: as a result backend has it that knows names only


def test_what_a_program_sets_itself_is_kept() -> None:
    error = ours("pymysql", OutcomeUnknown, numbered_deadlock("pymysql")())
    error.args = (error.args[0], f"{error.args[1]}, in the shop")
    assert error.args == (1213, f"{WHY}, in the shop")
    assert pickle.loads(pickle.dumps(error)).args == error.args
    connector = ours("mysql-connector")
    connector.errno = 7
    assert pickle.loads(pickle.dumps(connector)).errno == 7


def test_a_driver_that_nobody_knows_is_looked_at() -> None:
    """What one of its errors has when it is made of a text, ours have too; an adapter may say more."""

    class Error(Exception):
        hint = None

        def __init__(self, text: str, code: str = "unknown") -> None:
            super().__init__(text)
            self.code = code

    class OperationalError(Error):
        pass

    error = bind(OutcomeUnknown, OperationalError)(WHY)
    assert (error.code, error.hint, error.args) == ("unknown", None, (WHY,))  # type: ignore[attr-defined]
    error.__cause__ = Error("deadlock", "conflict")
    assert error.code == "conflict"  # type: ignore[attr-defined]

    class Strict(Exception):
        def __init__(self, number: int, *, text: str) -> None:
            super().__init__(number)

    def connect() -> None: ...

    assert str(bind(OutcomeUnknown, Strict)(WHY)) == WHY  # type: ignore[arg-type]
    own = SimpleNamespace(facts=print, connect=connect, operational_error=Strict, form=Form(args=numbered(9)))

    class Third(Strict):
        pass

    own.operational_error = Third
    assert load(own) is own  # type: ignore[arg-type, comparison-overlap]
    assert bind(TransactionLost, Third)(WHY).args == (9, WHY)


# -- frameworks --------------------------------------------------------------------------------------------------------

DIALECTS = {
    "sqlite3": "sqlite",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "pg8000": "postgresql+pg8000",
    "pymysql": "mysql+pymysql",
    "mysqlclient": "mysql+mysqldb",
    "mysql-connector": "mysql+mysqlconnector",
    "mariadb": "mysql+mariadbconnector",
    "psycopg-aio": "postgresql+psycopg_async",
    "asyncpg-aio": "postgresql+asyncpg",
    "aiomysql-aio": "mysql+aiomysql",
    "asyncmy-aio": "mysql+asyncmy",
    "aiosqlite-aio": "sqlite+aiosqlite",
}


@drivers
@kinds
def test_sqlalchemys_dialects_read_it(name: str, kind: type[ClusterError]) -> None:
    """``is_disconnect``, and MySQL's error codes, which it looks at for every error."""
    from sqlalchemy.engine import make_url

    url = make_url(f"{DIALECTS[name]}://")
    dialect_class = url.get_dialect()
    dialect = dialect_class(dbapi=dialect_class.import_dbapi())
    for error in (ours(name, kind), ours(name, kind, CAUSES[name][0]())):
        assert dialect.is_disconnect(error, None, None) is False
        if "mysql" in DIALECTS[name]:
            assert dialect._extract_error_code(error) in (0, -1, 1213)


@pytest.mark.parametrize("code", [1048, 2013])
def test_djangos_mysql_backend_reads_it(code: int) -> None:
    """It looks at the number, and makes an IntegrityError of some."""
    import MySQLdb
    from django.db.backends.mysql.base import CursorWrapper
    from django.db.utils import DatabaseErrorWrapper, IntegrityError, OperationalError

    error = ours("mysqlclient", OutcomeUnknown, MySQLdb.OperationalError(code, "told"))

    def raises(*_: object) -> None:
        raise error

    cursor = CursorWrapper(SimpleNamespace(execute=raises))
    expected = IntegrityError if code == 1048 else OutcomeUnknown
    with pytest.raises(expected) as raised:
        cursor.execute("SELECT 1")
    assert raised.value.args == (code, WHY)
    wrapper = DatabaseErrorWrapper(SimpleNamespace(Database=MySQLdb, errors_occurred=False))
    if code == 2013:
        with pytest.raises(OperationalError) as wrapped, wrapper:
            raise error
        assert (wrapped.value.args, wrapped.value.__cause__) == ((code, WHY), error)
