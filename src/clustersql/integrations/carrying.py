"""How a bookmark travels with a request: in a cookie, or in a header.  Shared by `asgi` and `wsgi`.

Rules
-----
1. A bookmark that is none, is lost, or is of another database is never an error of the request: that reads the primary,
   and answers with a new one.  The cluster counts it (`CausalReads`, ``refused``).
2. An answer carries one only when the request has come to know something new.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from ..errors import ClusterError, ConfigError

log = logging.getLogger("clustersql")

KEY = "clustersql"
"""Where the view stands in the scope or the environment of a request."""

COOKIE = "clustersql"
MAX_AGE = 3600
"""Seconds: long after every replica has caught up, and a browser that comes later has nothing to wait for."""

ERRORS = (ClusterError, ConfigError)
"""What taking a bookmark may raise.  The request has had its answer by then."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Carrier:
    """In what a bookmark travels."""

    name: str
    """Of the cookie, or of the header."""
    header: bool = False
    """Whether it is a header."""
    max_age: int = MAX_AGE
    """Seconds for which a browser keeps the cookie."""

    @classmethod
    def of(cls, cookie: str, header: str | None, max_age: int) -> Carrier:
        """Return what was asked for: the cookie, or the header where one is named.  Raises `ConfigError` for a name
        that is none.
        """
        name = cookie if header is None else header
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            what = "cookie" if header is None else "header"
            raise ConfigError(f"{what}: {name!r} is no name of a {what}: letters, digits and hyphens")
        if not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 1:
            raise ConfigError(f"max_age: must be a whole number of seconds, at least 1, not {max_age!r}")
        return cls(name, header is not None, max_age)

    def found(self, cookies: str, header: str) -> str:
        """Return the bookmark in what a request has brought: its cookies, as one text, and the value of the header; "":
        there is none.
        """
        if self.header:
            return header.strip()
        pairs = (pair.partition("=") for pair in cookies.split(";"))
        return next((value.strip().strip('"') for name, _, value in pairs if name.strip() == self.name), "")

    def told(self, bookmark: str, secure: bool) -> tuple[str, str]:
        """Return the header of an answer that brings ``bookmark``.  ``secure``: the request came by TLS."""
        if self.header:
            return self.name, bookmark
        attributes = f"Path=/; Max-Age={self.max_age}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
        return "Set-Cookie", f"{self.name}={bookmark}; {attributes}"


def untold(error: Exception) -> None:
    """The bookmark of an answer could not be had: the next request reads what it likes."""
    log.warning("a request's bookmark could not be told: %s", error)
