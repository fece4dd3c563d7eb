"""The servers that a URL or a setting names."""

from __future__ import annotations


def server_of(text: str) -> tuple[str, int | None] | None:
    """Return host and port of ``NAME``, ``NAME:PORT``, ``[IPv6]:PORT`` or a socket's path; None: it is none of them.

    >>> server_of("db1:5432")
    ('db1', 5432)
    """
    has_port = text.count(":") == 1 or (text.startswith("[") and "]:" in text)
    host, colon, port = text.rpartition(":") if has_port else (text, "", "")
    if not host or (colon and not port.isdecimal()):
        return None
    return host.strip("[]"), int(port) if colon else None
