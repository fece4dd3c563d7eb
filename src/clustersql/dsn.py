"""From a URL, a driver's own connection string, or neutral fields to an `Address`.

1. ``mysql://app:secret@dbhost1:3306/shop?ssl_ca=...`` is a URL; its query holds further fields, or the driver's own
   arguments, as texts.  ``%XX`` is decoded everywhere; ``+`` is a plus.
2. A text without ``scheme://`` is the driver's own connection string and is kept as it is.
3. Fields given beside a text win over it.  A field that is not neutral is an argument of the driver.
4. One node is one server: several hosts are refused, since a driver that chose among them would hide which one failed.
5. No error shows any part of a URL behind its scheme: where one is malformed, its password may be anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .address import Address, PasswordFile, Template, redacted, resolve, resolve_password
from .checks import Check, is_int, nearest, report, string
from .errors import ConfigError

__all__ = [
    "FIELDS",
    "SCHEMES",
    "Address",
    "check_family",
    "parse",
    "read_address",
    "redacted",
    "resolve",
    "resolve_password",
    "scheme_family",
]

# The scheme of a URL, and the family of drivers that takes it.
SCHEMES = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
}

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_SEVERAL_HOSTS = re.compile(r"(?:^|\s)host(?:addr)?\s*=\s*'?[^\s']*,", re.IGNORECASE)
_ENCODE = "characters such as @ : / ? # in a user, password or name are written %40 %3A %2F %3F %23"


def _is_host(value: str) -> bool:
    return value != "" and not re.search(r"[\s@,]", value)


HOST = string("one host name or address (each host is a node of its own)", _is_host, secret=True)
PORT = Check("int", "a whole number from 1 to 65535", lambda value: is_int(value) and 1 <= value <= 65535)
PASSWORD = Check(
    "str", "a text or a function that returns one", lambda v: isinstance(v, str) or callable(v), secret=True
)
OWN = string(
    "the driver's own connection string, with one host", lambda v: v != "" and not _SEVERAL_HOSTS.search(v), secret=True
)

# The neutral fields; what is no URL part goes to the driver as it is.
FIELDS: Mapping[str, Check] = {
    "host": HOST,
    "port": PORT,
    "user": string("a text", secret=True),
    "password": PASSWORD,
    "password_file": string("the path of a file"),
    "database": string("a text", secret=True),
    "unix_socket": string("the path of a socket"),
    "dsn": OWN,
}

Mistake = tuple[str, str]
"""A key and what is wrong with it."""


def parse(name: str, text: str | None, fields: Mapping[str, object]) -> Address:
    """Return the address of node ``name``.

    ``text`` is a URL or the driver's own connection string; ``fields`` are neutral fields (`FIELDS`) and further
    arguments of the driver, and win over the text.  A field that is None counts as not given.  Raises `ConfigError`
    naming the node and every mistake; no password is in it.
    """
    address, mistakes = read_address(name, text, fields)
    if mistakes:
        raise report(f"node {name!r}", [f"node {name!r}: {key}: {what}" for key, what in mistakes])
    return address


def read_address(node: str, text: str | None, fields: Mapping[str, object]) -> tuple[Address, list[Mistake]]:
    """Return the address as far as it can be read, and every mistake in it with its key (``url`` for the text)."""
    given = {key: value for key, value in fields.items() if value is not None}
    mistakes = list(_field_mistakes(given))
    if text is None and not given:
        mistakes.append(("url", "no address: give a URL, the driver's own connection string, or fields such as host"))
    scheme, from_text, wrong = _read_text(text) if text is not None else (None, {}, [])
    mistakes += (("url", what) for what in wrong)
    return _address(node, scheme, from_text | given), mistakes


def _field_mistakes(given: Mapping[str, object]) -> Iterator[Mistake]:
    for key, value in given.items():
        if key in FIELDS and (complaint := FIELDS[key].complaint(value)):
            yield key, complaint
    if {"password", "password_file"} <= given.keys():
        yield "password_file", "give either password or password_file, not both"


def _address(node: str, scheme: str | None, values: dict[str, Any]) -> Address:
    known = {key: values.pop(key) for key in FIELDS if key in values}
    if path := known.pop("password_file", None):
        known["password"] = PasswordFile(path, node)
    return Address(node=node, scheme=scheme, **known, arguments=values)


def _read_text(text: object) -> tuple[str | None, dict[str, Any], list[str]]:
    """Return the scheme of a URL, the values in it or in an own connection string, and what is wrong with it."""
    if not isinstance(text, str) or not (match := _SCHEME.match(text)):
        complaint = OWN.complaint(text)
        return (None, {}, [complaint]) if complaint else (None, {"dsn": text}, [])
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        return None, {}, [_unknown_scheme(scheme)]
    wrong: list[str] = []
    values = _read_url(text[match.end() :], SCHEMES[scheme], wrong.append)
    if text != text.strip() or not text.isprintable():
        wrong.append("must not have white space around it or control characters in it")
    kind = Template if isinstance(text, Template) else str
    return scheme, {key: kind(value) if isinstance(value, str) else value for key, value in values.items()}, wrong


def _unknown_scheme(scheme: str) -> str:
    family, plus, _ = scheme.partition("+")
    if plus and family in SCHEMES:
        return f"write {family}:// alone: the driver is named by the cluster"
    return f"unknown scheme {scheme}://; {nearest(scheme, SCHEMES)}; another driver's own string is given as dsn"


def _read_url(rest: str, family: str, wrong: Callable[[str], None]) -> dict[str, Any]:
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
    return _checked(values, wrong) | port


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


def scheme_family(url: str) -> str | None:
    """Return the family of drivers that takes URLs with this scheme, or None for a text that is no URL we know.

    >>> scheme_family("mariadb://")
    'mysql'
    """
    return SCHEMES.get(url.partition("://")[0].lower()) if "://" in url else SCHEMES.get(url.lower())


def check_family(node: str, address: Address, driver_family: str | None, driver_name: str) -> None:
    """Raise `ConfigError` when the node's URL is one for drivers of another family; None takes any."""
    family = scheme_family(address.scheme) if address.scheme else None
    if driver_family and family and family != driver_family:
        takes = " or ".join(f"{scheme}://" for scheme, of in SCHEMES.items() if of == driver_family) or "its own string"
        raise ConfigError(
            f"node {node!r}: wrong DSN for the driver: {driver_name} takes {takes}, not {address.scheme}://"
        )
