"""Where a server listens, as a host and a port, and as it is written: ``db1:5432``, ``[::1]:5432``, ``db1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(r"(?:\[(?P<six>[^\[\]\s]+)\]|(?P<host>[^\[\]\s:,@/]+))(?::(?P<port>\d{1,5}))?")
_ANYWHERE = frozenset({"0.0.0.0", "::", "*"})


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host, in lower case, and a port; None: not told."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def endpoint(text: str) -> HostPort:
    """Return what ``text`` says: ``host`` or ``host:port``, an IPv6 address with a port in brackets.  Raises
    ValueError.

    >>> str(endpoint("DB1:5432")), str(endpoint("[::1]:5432")), endpoint("::1").port
    ('db1:5432', '[::1]:5432', None)
    """
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*", text):
        return HostPort(plain(text))
    match = _WRITTEN.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise ValueError(text)
    return HostPort(plain(match["six"] or match["host"]), port)


def plain(host: str) -> str:
    """Return a host as it is compared: in lower case, without the root's dot, an IPv6 zone, or the IPv6 form of an IPv4
    address.
    """
    return host.lower().removeprefix("::ffff:").partition("%")[0].rstrip(".")


def useless(host: str) -> str:
    """Return why nobody but the server itself can use this address; "": others may."""
    if not host:
        return "it tells no address"
    if host.upper() == "AUTO":
        return "the address is AUTO: it was not found out"
    if host.startswith(("/", "@")):
        return "it is a Unix socket"
    host = plain(host)
    if host in _ANYWHERE:
        return f"{host} is every address of its machine"
    if host.startswith("127.") or host in ("::1", "localhost"):
        return f"{host} is its own machine only"
    return ""
