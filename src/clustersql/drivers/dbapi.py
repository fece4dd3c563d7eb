"""Any other PEP 249 module, by what can be guessed of it.

Guesses are made only where a wrong one does no harm: an unknown driver is never believed that no transaction is open,
and nothing of it counts as "not sent".
"""

from __future__ import annotations

import inspect
from typing import Any

from .base.adapter import Codes
from .base.generic import Generic, GenericLocal
from .base.profile import Profile
from .contract import Abilities

_DIALECTS = {
    "pymysql": "mysql",
    "psycopg2cffi": "postgresql",
    "pg8000.legacy": "postgresql",
    "pgdb": "postgresql",
    "pysqlite3": "sqlite",
}
_KEYWORDS = {
    "host": ("host", "hostname", "server"),
    "port": ("port",),
    "user": ("user", "username"),
    "password": ("password", "passwd"),
    "database": ("database", "dbname", "db"),
    "unix_socket": ("unix_socket", "unix_sock"),
}
_TIMEOUTS = ("connect_timeout", "connection_timeout", "login_timeout")


def guess(module: Any) -> Profile:
    """Return a profile for a module that we do not know, from its connect's signature and its connection class."""
    names, timeout = _keywords(module.connect)
    connection = getattr(module, "Connection", None) or getattr(module, "connection", None)
    dialect = _DIALECTS.get(module.__name__, "generic")
    return Profile(
        name=module.__name__,
        family=None if dialect == "generic" else dialect,
        dialect=dialect,
        abilities=Abilities(
            descriptor=hasattr(connection, "fileno"),
            transaction_status=False,
            autocommit=_is_attribute(connection, "autocommit"),
            connect_timeout=timeout is not None,
            leaves_results=True,
            fetch_reads=True,
        ),
        names=names,
        timeout=timeout,
        numbers={"port": int} | ({timeout: float} if timeout else {}),
        codes=_guessed_codes,
        descriptor=_guessed_descriptor,
        closed=_guessed_closed,
        status=lambda raw: True if getattr(raw, "in_transaction", None) is True else None,
    )


def _is_attribute(connection: Any, name: str) -> bool:
    """PEP 249's optional extension is an attribute; a method of that name (MySQL's drivers) is something else."""
    return hasattr(connection, name) and not callable(getattr(connection, name))


def _keywords(connect: Any) -> tuple[dict[str, str], str | None]:
    """The keywords of ``connect``; those that PEP 249 suggests where it does not name its own."""
    try:
        known = set(inspect.signature(connect).parameters)
    except (TypeError, ValueError):
        known = set()
    names = {ours: word for ours, words in _KEYWORDS.items() for word in reversed(words) if word in known}
    return names or {name: name for name in ("host", "port", "user", "password", "database")}, next(
        (word for word in _TIMEOUTS if word in known), None
    )


def _guessed_codes(exc: BaseException) -> Codes:
    number = getattr(exc, "errno", None)
    if number is None and exc.args and isinstance(exc.args[0], int):
        number = exc.args[0]
    state = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    return (
        (state if isinstance(state, str) else None),
        (number if isinstance(number, int) and number > 0 else None),
        str(exc),
    )


def _guessed_descriptor(raw: Any) -> int | None:
    try:
        descriptor = raw.fileno()
    except Exception:  # no such method, or closed, in the driver's own words
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None


def _guessed_closed(raw: Any) -> bool:
    """``closed`` or ``open``, where they are values and no methods."""
    closed, opened = getattr(raw, "closed", None), getattr(raw, "open", None)
    if isinstance(closed, int):
        return bool(closed)
    return not opened if isinstance(opened, int) else False


def adapter(module: Any) -> Generic:
    """Return the adapter over ``module``, by guesses."""
    profile = guess(module)
    return (GenericLocal if profile.abilities.autocommit else Generic)(module, profile)
