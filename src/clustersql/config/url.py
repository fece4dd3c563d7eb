"""The parts of a URL, and what each neutral field of an address must be.

1. ``%XX`` is decoded everywhere; ``+`` is a plus.
2. One node is one server: several hosts are refused, since a driver that chose among them would hide which one failed.
3. No mistake shows any part of a URL behind its scheme: where one is malformed, its password may be anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..dialects import KNOWN
from .checks import Check, count, is_int, is_number, one_of, string
from .zones import NODE_ZONE

__all__ = ["FIELDS", "HOST", "OWN", "PORT", "SCHEMES", "TRANSACTION", "read_url"]

TRANSACTION = "pgbouncer-transaction"
"""The one value of ``via``: see `config.pooler`."""

SCHEMES = {scheme: database for database, schemes in KNOWN.items() for scheme in schemes}
"""The scheme of a URL, and the family of drivers that takes it."""

_SEVERAL_HOSTS = re.compile(r"(?:^|\s)host(?:addr)?\s*=\s*'?[^\s']*,", re.IGNORECASE)
_ENCODE = "characters such as @ : / ? # in a user, password or name are written %40 %3A %2F %3F %23"


def _is_host(value: str) -> bool:
    return value != "" and not re.search(r"[\s@,]", value)


HOST = string("one host name or address (each host is a node of its own)", _is_host, secret=True)
PORT = Check("int", "a whole number from 1 to 65535", lambda value: is_int(value) and 1 <= value <= 65535)
PASSWORD = Check(
    "str", "a text or a function that returns one", lambda v: isinstance(v, str) or callable(v), secret=True
)
PROVIDER = Check(
    "str",
    "a function of the node and whether its login was refused, or in a file module:function",
    lambda v: callable(v) or (isinstance(v, str) and re.fullmatch(r"[\w.]+:\w+", v) is not None),
)
OWN = string(
    "the driver's own connection string, with one host", lambda v: v != "" and not _SEVERAL_HOSTS.search(v), secret=True
)

WEIGHT = Check("float", "a number from 0 to 1000000", lambda value: is_number(value) and 0 <= value <= 1_000_000)

# The neutral fields; what is no URL part goes to the driver as it is.
FIELDS: Mapping[str, Check] = {
    "host": HOST,
    "port": PORT,
    "user": string("a text", secret=True),
    "password": PASSWORD,
    "password_file": string("the path of a file"),
    "user_file": string("the path of a file"),
    "credentials": PROVIDER,
    "database": string("a text", secret=True),
    "unix_socket": string("the path of a socket"),
    "dsn": OWN,
    "via": one_of((TRANSACTION,)),
    "weight": WEIGHT,
    "priority": count(0),
    "zone": NODE_ZONE,
}


def read_url(rest: str, family: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    """Return the values in what follows ``scheme://``; call ``wrong`` with each mistake."""
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "#" in rest or "@" in path + query:
        wrong(_ENCODE)  # a raw one there cuts a password in two, and its second half would pass for a name
        return {}
    if family == "sqlite":
        values = _read_sqlite(authority, path, wrong)
    else:
        values = _read_authority(authority, wrong) | _read_database(path, wrong)
    return values | _read_query(query, wrong)


def _read_sqlite(authority: str, path: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    if authority:
        wrong("a file has no host: sqlite:///relative/path or sqlite:////absolute/path")
    return {"database": _decoded(path) or ":memory:"}


def _read_authority(authority: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    userinfo, _, server = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    values: dict[str, Any] = {"user": _decoded(user)} if user else {}
    if colon:
        values["password"] = _decoded(password)
    return values | _read_server(server, wrong)


def _read_server(server: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?", server, re.DOTALL)
    if not match or ":" in (match[2] or ""):
        wrong(f"must name one host; an IPv6 address stands in brackets, [::1]:3306; {_ENCODE}")
        return {}
    values = {"host": _decoded(match[1].strip("[]"))} if match[1] else {}
    return _checked(values, wrong) | (_read_port(match[2], wrong) if match[2] else {})


def _read_port(port: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    if not re.fullmatch(r"[0-9]{1,9}", port):
        wrong(f"the port must be {PORT.allowed}; {_ENCODE}")
        return {}
    return _checked({"port": int(port)}, wrong)


def _read_database(path: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    if "/" in path:
        wrong(f"one name of a database follows the host; {_ENCODE}")
    return {"database": _decoded(path)} if path else {}


def _read_query(query: str, wrong: Callable[[str], None]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in query.split("&") if query else ():
        key, equals, value = pair.partition("=")
        if not key or not equals or _decoded(key) in values:
            wrong(f"after ? stand name=value pairs joined by &, each name once; {_ENCODE}")
            return {}
        values[_decoded(key)] = _decoded(value)
    port = _read_port(values.pop("port"), wrong) if "port" in values else {}
    values |= {key: number(values[key]) for key, number in _NUMBERS.items() if _is_number(values.get(key, ""))}
    return _checked(values, wrong) | port


_NUMBERS: Mapping[str, Callable[[str], float]] = {"weight": float, "priority": int}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is not None


def _checked(values: dict[str, Any], wrong: Callable[[str], None]) -> dict[str, Any]:
    """Return ``values`` without those that the table of fields refuses."""
    complaints = {key: FIELDS[key].complaint(value) for key, value in values.items() if key in FIELDS}
    for key, complaint in complaints.items():
        if complaint:
            # Without the value, even a port: where a URL is malformed it may be a piece of the password.
            wrong(f"the {key} must be {FIELDS[key].allowed}")
    return {key: value for key, value in values.items() if not complaints.get(key)}


def _decoded(part: str) -> str:
    from urllib.parse import unquote  # here, because most programs parse a handful of URLs, and some none

    return unquote(part)
