"""From a URL, a driver's own connection string, or neutral fields to an `Address`.

1. ``mysql://app:secret@dbhost1:3306/shop?ssl_ca=...`` is a URL; its query holds further fields, or the driver's own
   arguments, as texts.  ``%XX`` is decoded everywhere; ``+`` is a plus.
2. A text without ``scheme://`` is the driver's own connection string and is kept as it is.
3. Fields given beside a text win over it.  A field that is not neutral is an argument of the driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError
from .address import Address, PasswordFile, Template, redacted
from .checks import nearest, report
from .credentials import ProviderName
from .url import FIELDS, OWN, SCHEMES, read_url

__all__ = [
    "FIELDS",
    "SCHEMES",
    "Address",
    "check_family",
    "parse",
    "read_address",
    "redacted",
    "scheme_family",
    "several",
]

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")

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


def several(text: str) -> dict[str, str]:
    """Return a URL for each host of ``text``, which may name several, by the node's name: the host, with its port where
    hosts repeat.

    The form is libpq's: ``postgresql://user:password@a,b:5433/database``; everything else in it holds for each.  Raises
    `ConfigError`.

    >>> several("postgresql://app@a,b:5433/shop")
    {'a': 'postgresql://app@a/shop', 'b': 'postgresql://app@b:5433/shop'}
    """
    match = _SCHEME.match(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigError("add_nodes() takes a URL: postgresql://user:password@host1,host2/database")
    before, question, query = text[match.end() :].partition("?")
    authority, slash, path = before.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    servers = hosts.split(",")
    if not all(servers):
        raise ConfigError(
            "add_nodes(): a host is missing beside a comma in the URL: postgresql://user:password@host1,host2/database"
        )
    plain = [_host_of(server) for server in servers]
    names = [server if plain.count(host) > 1 else host for server, host in zip(servers, plain, strict=True)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        # Not its name: where a URL is malformed it may be a piece of the password.
        raise ConfigError(f"add_nodes(): {len(twice)} of the hosts stand in the URL twice, with the same port")
    ends = f"{slash}{path}{question}{query}"
    urls = (f"{match[0]}{userinfo}{at}{server}{ends}" for server in servers)
    return dict(zip(names, urls, strict=True))


def _host_of(server: str) -> str:
    return server[: server.find("]") + 1] if server.startswith("[") else server.partition(":")[0]


def _field_mistakes(given: Mapping[str, object]) -> Iterator[Mistake]:
    for key, value in given.items():
        if key in FIELDS and (complaint := FIELDS[key].complaint(value)):
            yield key, complaint
    if {"password", "password_file"} <= given.keys():
        yield "password_file", "give either password or password_file, not both"
    if {"user", "user_file"} <= given.keys():
        yield "user_file", "give either user or user_file, not both"
    if "credentials" in given and (also := sorted(_LOGIN & given.keys())):
        yield "credentials", f"it gives the user and the password: leave {' and '.join(also)} out"


_LOGIN = {"user", "user_file", "password", "password_file"}


def _credentials(node: str, provider: Any) -> Any:
    return ProviderName(provider, node) if isinstance(provider, str) else provider


def _address(node: str, scheme: str | None, values: dict[str, Any]) -> Address:
    known = {key: values.pop(key) for key in FIELDS if key in values}
    if path := known.pop("password_file", None):
        known["password"] = PasswordFile(path, node)
    if path := known.pop("user_file", None):
        known["user"] = PasswordFile(path, node, "user")
    if provider := known.pop("credentials", None):
        known["credentials"] = _credentials(node, provider)
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
    values = read_url(text[match.end() :], SCHEMES[scheme], wrong.append)
    if text != text.strip() or not text.isprintable():
        wrong.append("must not have white space around it or control characters in it")
    kind = Template if isinstance(text, Template) else str
    return scheme, {key: kind(value) if isinstance(value, str) else value for key, value in values.items()}, wrong


def _unknown_scheme(scheme: str) -> str:
    family, plus, _ = scheme.partition("+")
    if plus and family in SCHEMES:
        return f"write {family}:// alone: the driver is named by the cluster"
    return f"unknown scheme {scheme}://; {nearest(scheme, SCHEMES)}; another driver's own string is given as dsn"


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
