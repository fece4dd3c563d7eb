"""Drivers by name, module or adapter, and what bad input gets."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import subprocess
import sys
import types
import weakref
from typing import Any

import pytest

from clustersql.drivers import ASYNC_NAMES, NAMES, load, load_async
from clustersql.drivers.contract import Target
from clustersql.errors import ConfigError


@pytest.mark.parametrize("name", [*NAMES, "MySQLdb", "PyMySQL", "pg8000.dbapi", "mysql.connector", "mysqlconnector"])
def test_by_name_and_by_module(name: str) -> None:
    by_name = load(name)
    assert load(by_name.module).name == by_name.name
    assert load(by_name) is by_name
    assert by_name.family in ("postgresql", "mysql", "sqlite")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'psycopg'"):
        load("psycop")


def test_a_missing_package_gets_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("clustersql.drivers.import_module", missing)
    with pytest.raises(ConfigError, match=r'pip install "clustersql\[psycopg\]"'):
        load("psycopg")


def test_no_pep_249_module_is_told_what_it_lacks() -> None:
    with pytest.raises(ConfigError, match="no PEP 249 module; it lacks apilevel"):
        load("json")
    with pytest.raises(ConfigError, match="neither a name"):
        load(42)  # type: ignore[arg-type]


def test_a_driver_that_takes_no_dsn_says_so() -> None:
    for name in ("pymysql", "mysqlclient", "mysql-connector", "mariadb", "pg8000"):
        with pytest.raises(ConfigError, match="takes no connection string"):
            load(name).connect(Target(dsn="host=x password=secret"), 1.0)


def test_a_wrong_dsn_is_a_mistake_that_tells_no_password() -> None:
    with pytest.raises(ConfigError) as failed:
        load("psycopg").connect(Target(dsn="hosts=x secret"), 1.0)
    assert "secret" not in str(failed.value)


def test_a_text_that_should_be_a_number() -> None:
    with pytest.raises(ConfigError, match=r"read_timeout='soon': the driver wants a number"):
        load("pymysql").connect(Target(host="127.0.0.1", arguments={"read_timeout": "soon"}), 1.0)


def test_sqlite_needs_a_database_and_is_weakly_referenceable() -> None:
    driver = load("sqlite3")
    with pytest.raises(ConfigError, match="no database given"):
        driver.connect(Target(), 1.0)
    raw = driver.connect(Target(database=":memory:", arguments={"timeout": "0.5"}), 1.0)
    assert weakref.ref(raw)() is raw
    driver.close(raw)


def test_an_unknown_module_is_driven_by_duck_typing() -> None:
    """It works, and nothing is believed of it: no transaction status, no descriptor, nothing unsent."""
    module = types.ModuleType("somedb")
    vars(module).update({name: value for name, value in vars(sqlite3).items() if not name.startswith("__")})
    module.connect = lambda database, connect_timeout=5: sqlite3.connect(database)  # type: ignore[attr-defined]
    driver = load(module)
    assert (driver.name, driver.family, driver.dialect.name) == ("somedb", None, "generic")
    assert driver.abilities.connect_timeout
    assert not driver.abilities.transaction_status
    raw = driver.connect(Target(database=":memory:"), 1.0)
    assert driver.ask(raw, ["SELECT 1", "CREATE TABLE t (a)"]) == [[(1,)], []]
    assert driver.in_transaction(raw) is None
    with pytest.raises(sqlite3.Error) as failed:
        raw.execute("SELEKT")
    assert driver.facts(failed.value, raw).fault.value == "statement"
    with pytest.raises(ConfigError, match="no argument that we know for host"):
        driver.connect(Target(host="x", database=":memory:"), 1.0)
    driver.close(raw)
    assert driver.abort(raw) is False


def test_loading_the_package_imports_no_driver() -> None:
    code = "import sys, clustersql.drivers; print([m for m in ('psycopg', 'pymysql', 'MySQLdb', 'mysql', 'mariadb', 'sqlite3', 'asyncio', *clustersql.drivers.ASYNC_NAMES) if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert importlib.import_module("clustersql.drivers").NAMES


@pytest.mark.parametrize("name", [*ASYNC_NAMES, "psycopg3"])
def test_an_asyncio_driver_by_name_and_by_module(name: str) -> None:
    by_name = load_async(name)
    assert load_async(by_name.module).name == by_name.name
    assert load_async(by_name) is by_name
    assert by_name.family in ("postgresql", "mysql", "sqlite")


def test_psycopg_is_both() -> None:
    assert load("psycopg").module is load_async("psycopg").module


def test_an_unknown_asyncio_driver_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'asyncpg'"):
        load_async("asyncpgs")
    with pytest.raises(ConfigError, match="no general adapter for asyncio"):
        load_async(types)
    with pytest.raises(ConfigError, match="nor an adapter"):
        load_async(load("sqlite3"))  # type: ignore[arg-type]


def test_a_missing_asyncio_package_gets_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("clustersql.drivers.import_module", missing)
    with pytest.raises(ConfigError, match=r'pip install "clustersql\[asyncmy\]"'):
        load_async("asyncmy")


def test_asyncio_drivers_that_take_no_dsn_say_so() -> None:
    for name in ("aiomysql", "asyncmy"):
        with pytest.raises(ConfigError, match="takes no connection string"):
            asyncio.run(load_async(name).connect(Target(dsn="host=x password=secret"), 1.0))
    with pytest.raises(ConfigError, match="no database given"):
        asyncio.run(load_async("aiosqlite").connect(Target(), 1.0))
