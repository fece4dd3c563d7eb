"""Who may read the page: a browser that another site has sent here may not.

A name can be made to lead to this machine by whoever owns it (DNS rebinding), so a request under a name that is not the
server's own is refused; an address cannot be taken over so.  A page of another site names itself in ``Origin``.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOCAL = frozenset(("localhost", "localhost.localdomain"))


def is_loopback(host: str) -> bool:
    """Tell whether whoever listens on ``host`` is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOCAL


def refused(host: str | None, origin: str | None, own: str) -> str:
    """Return why a request is refused, by its headers ``Host`` and ``Origin``; "": it is not.  ``own``: what the server
    listens on.
    """
    name = _name(host or "")
    if not name:
        return "the request names no host"
    if not (name in LOCAL or name == own.lower() or _is_address(name)):
        return f"{name[:80]!r} is no name of this server: ask by its address, or by localhost"
    if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
        return "a page of another site may not read this"
    return ""


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
