"""Drivers, found by name or by module, and imported only then.

>>> load("sqlite3").family
'sqlite'

`load` gives PEP 249 drivers, `load_async` asyncio ones; ``psycopg`` is both.
"""

from __future__ import annotations

from importlib import import_module
from inspect import iscoroutinefunction
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import ConfigError, Form, look_in

if TYPE_CHECKING:
    from .contract import AsyncDriver, Driver

D = TypeVar("D", bound="Driver | AsyncDriver")

__all__ = ["ASYNC_NAMES", "NAMES", "asyncio_of", "load", "load_async"]

# The name, the module it stands for, and the file here that adapts it.
_KNOWN = {
    "sqlite3": ("sqlite3", "sqlite3"),
    "psycopg": ("psycopg", "psycopg"),
    "pymysql": ("pymysql", "pymysql"),
    "mysqlclient": ("MySQLdb", "mysqlclient"),
    "mysql-connector": ("mysql.connector", "mysqlconnector"),
    "mariadb": ("mariadb", "mariadb"),
    "psycopg2": ("psycopg2", "psycopg2"),
    "pg8000": ("pg8000.dbapi", "pg8000"),
}
_ALIASES = {
    "MySQLdb": "mysqlclient",
    "PyMySQL": "pymysql",
    "mysql.connector": "mysql-connector",
    "mysqlconnector": "mysql-connector",
    "mysql-connector-python": "mysql-connector",
    "pg8000.dbapi": "pg8000",
    "sqlite": "sqlite3",
    "psycopg3": "psycopg",
}

NAMES = tuple(_KNOWN)
"""The drivers that are tested; any other PEP 249 module is taken by the generic adapter."""

# There is no PEP 249 for asyncio: each driver has a file of its own, and there is no adapter for any other module.
_KNOWN_ASYNC = {
    "psycopg": ("psycopg", "psycopg_async"),
    "asyncpg": ("asyncpg", "asyncpg"),
    "aiomysql": ("aiomysql", "aiomysql"),
    "asyncmy": ("asyncmy", "asyncmy"),
    "aiosqlite": ("aiosqlite", "aiosqlite"),
}
_ASYNC_ALIASES = {"psycopg3": "psycopg", "psycopg_async": "psycopg"}

ASYNC_NAMES = tuple(_KNOWN_ASYNC)
"""The asyncio drivers that are known."""

_own_forms: dict[type[BaseException], Form] = {}
"""Of adapters that are not ours."""


def _form(base: type[BaseException]) -> Form | None:
    """Return what a program may ask of a driver's errors, by the class of one: the driver need not have been loaded by
    us.
    """
    if base in _own_forms:
        return _own_forms[base]
    for module, file in (*_KNOWN.values(), *_KNOWN_ASYNC.values()):
        package = module.removesuffix(".dbapi")
        if f"{base.__module__}.".startswith(f"{package}."):
            return cast("Driver", import_module(f".{file}", __name__).adapter(import_module(module))).form
    return None


look_in(_form)

_NEEDED = ("apilevel", "paramstyle", "threadsafety", "connect", "Error", "OperationalError", "InterfaceError")


def load(driver: str | ModuleType | Driver) -> Driver:
    """Return the adapter for ``driver``: its name ("psycopg"), its module, or an adapter of the user's own.

    Raises ConfigError for an unknown name (with the nearest known one), for a driver that is not installed (with the
    extra that installs it), and for a module that is no PEP 249 module (with what it lacks).
    """
    if isinstance(driver, str):
        return _by_name(driver)
    if isinstance(driver, ModuleType):
        return _by_module(driver)
    if callable(getattr(driver, "facts", None)) and callable(getattr(driver, "connect", None)):
        return _with_its_form(driver)
    raise ConfigError(f"driver: {driver!r} is neither a name, nor a module, nor an adapter (one has connect and facts)")


def load_async(driver: str | ModuleType | AsyncDriver) -> AsyncDriver:
    """Return the adapter for the asyncio driver ``driver``: its name ("asyncpg"), its module, or an adapter of the
    user's own.

    Raises ConfigError for one that is not known (with the nearest known one), or not installed (with the extra that
    installs it).
    """
    if isinstance(driver, str):
        return _async_by_name(driver)
    if isinstance(driver, ModuleType):
        return _async_by_module(driver)
    if iscoroutinefunction(getattr(driver, "connect", None)) and callable(getattr(driver, "facts", None)):
        return _with_its_form(driver)
    raise ConfigError(
        f"async_driver: {driver!r} is neither a name, nor a module, nor an adapter (one has facts and a coroutine"
        " connect)"
    )


def asyncio_of(driver: Driver | None) -> ModuleType | None:
    """Return the module of a driver that serves asyncio too, by the same name (psycopg); None: it does not."""
    return driver.module if driver is not None and driver.name in _KNOWN_ASYNC else None


def _with_its_form(adapter: D) -> D:
    if isinstance(form := getattr(adapter, "form", None), Form):
        _own_forms[adapter.operational_error] = form
    return adapter


def _async_by_name(name: str) -> AsyncDriver:
    name = _ASYNC_ALIASES.get(name, name)
    if name not in _KNOWN_ASYNC:
        raise ConfigError(_no_async(name))
    module = _KNOWN_ASYNC[name][0]
    try:
        return _async_by_module(import_module(module))
    except ModuleNotFoundError as exc:
        if exc.name is None or not module.startswith(exc.name):
            raise  # the driver is there, but lacks something itself
        raise ConfigError(_not_installed(name)) from None


def _async_by_module(module: Any) -> AsyncDriver:
    for known, file in _KNOWN_ASYNC.values():
        if module.__name__ == known:
            return cast("AsyncDriver", import_module(f".{file}", __name__).adapter(module))
    raise ConfigError(_no_async(module.__name__))


def _no_async(name: str) -> str:
    from difflib import get_close_matches  # here, because it is needed only when something is wrong

    nearest = get_close_matches(name, [*ASYNC_NAMES, *_ASYNC_ALIASES], 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "; there is no general adapter for asyncio, write one."
    return f"async_driver {name!r} is not known{hint} Known: {', '.join(ASYNC_NAMES)}"


def _by_name(name: str) -> Driver:
    name = _ALIASES.get(name, name)
    module = _KNOWN.get(name, (name,))[0]
    try:
        return _by_module(import_module(module))
    except ModuleNotFoundError as exc:
        if exc.name is None or not module.startswith(exc.name):
            raise  # the driver is there, but lacks something itself
        raise ConfigError(_not_found(name)) from None


def _not_found(name: str) -> str:
    from difflib import get_close_matches  # here, because it is needed only when something is wrong

    if name in _KNOWN:
        return _not_installed(name)
    nearest = get_close_matches(name, [*NAMES, *_ALIASES], 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"driver {name!r} is not known, and there is no module of that name{hint} Tested drivers: {', '.join(NAMES)}"


def _not_installed(name: str) -> str:
    return f'driver {name!r} is not installed: pip install "clustersql[{name}]"'


def _by_module(module: Any) -> Driver:
    missing = [name for name in _NEEDED if not hasattr(module, name)]
    if missing:
        raise ConfigError(f"driver: {module.__name__!r} is no PEP 249 module; it lacks {', '.join(missing)}")
    name = _ALIASES.get(module.__name__, module.__name__)
    file = _KNOWN.get(name, (name, "dbapi"))[1]
    return cast("Driver", import_module(f".{file}", __name__).adapter(module))
