"""Where a node is and how to log in: values that are resolved again at every dial, and never shown.

1. An `Address` is what was configured.  `resolve` makes of it what a driver is given, at each dial, so that a rotated
   password or a changed environment is seen by the next connection.
2. A password is a text, a function, or a `PasswordFile`.  A text from a file is a `Template`: ``${NAME}`` stands for
   an environment variable and ``$${`` for a plain ``${``.
3. No password is in a ``repr`` or in an error.  In doubt more is hidden than needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError

__all__ = ["Address", "PasswordFile", "Template", "redacted"]

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<broken>\$\{)")
_SECRET = re.compile(r"(?is)(\w*(?:pass|pwd|secret|token)\w*\s*=).*")
_USERINFO = re.compile(r"(?s)^(?P<scheme>\w[\w+.-]*://)?(?P<user>[^:/@]*)(?P<rest>.*)@")


class Template(str):
    """A text from a file, in which ``${NAME}`` stands for an environment variable, read again at every dial."""

    __slots__ = ()

    @property
    def broken(self) -> bool:
        """Whether a ``${`` in it starts no variable."""
        return any(match["broken"] for match in _VARIABLE.finditer(self))

    def expand(self, node: str) -> str:
        """Return the text with its variables replaced.  Raises `ConfigError` naming ``node`` and what is not set."""

        def value(match: re.Match[str]) -> str:
            return _variable(match["name"], node) if match["name"] else match[0].removeprefix("$")

        return _VARIABLE.sub(lambda match: "${" if match["broken"] else value(match), self)


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A password, or a user, that is the content of a file, read again at every dial; one newline at the end is not
    part of it.
    """

    path: str
    node: str
    what: str = "password"

    def __call__(self) -> str:
        """Return the content.  Raises `ConfigError` naming the node and the file when it cannot be read."""
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                return re.sub(r"\r?\n\Z", "", file.read())
        except (OSError, ValueError) as exc:
            # Only the error's class: the text of a UnicodeDecodeError shows bytes of the password.
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
        raise ConfigError(f"node {self.node!r}: the {self.what} file {self.path!r} cannot be read: {reason}")


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Address:
    """Where a node is, as configured.  Texts may be `Template`; `resolve` gives the plain values."""

    node: str
    """The node's name."""
    scheme: str | None = None
    """That of the URL it came from."""
    host: str | None = None
    """A name or an address."""
    port: int | None = None
    """None: the driver's default."""
    user: str | Callable[[], str] | None = None
    """Who logs in; a `PasswordFile` is read at every dial."""
    password: str | Callable[[], Any] | None = None
    """A text, or a function that is called at every dial; never shown."""
    credentials: Callable[[Any, bool], Any] | None = None
    """Gives both at every dial, in their place (`config.credentials`)."""
    database: str | None = None
    """The database, or the path of the file."""
    unix_socket: str | None = None
    """The path of the server's socket, in place of host and port."""
    dsn: str | None = None
    """The driver's own connection string, passed as it is."""
    via: str | None = None
    """What stands before the server (`pooler`)."""
    weight: float | None = None
    """How much of the work the node gets, under the policy of this name."""
    priority: int | None = None
    """Which group the node is in, under the policy of this name."""
    zone: str | None = None
    """Where the node is; None: not told."""
    arguments: Mapping[str, object] = field(default_factory=dict, hash=False)
    """The driver's own connect arguments, such as its TLS options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name in _SHOWN if (value := getattr(self, name)) is not None]
        if self.password is not None:
            shown.append("password='***'")
        if self.dsn is not None:
            shown.append(f"dsn={redacted(self.dsn)!r}")
        if self.arguments:  # their names only: a value may be a secret under any name
            shown.append(f"arguments={list(self.arguments)}")
        return f"Address({', '.join(shown)})"


_SHOWN = ("node", "scheme", "host", "port", "user", "database", "unix_socket", "via", "weight", "priority", "zone")


def redacted(dsn: str) -> str:
    """Return a connection string that can be shown: a password, and all that follows its key, is ``***``.

    Nothing after ``password=`` is shown, because each driver quotes in its own way and a wrong guess would show half
    a password.

    >>> redacted("host=db1 user=app password='a b' dbname=shop")
    'host=db1 user=app password=***'
    >>> redacted("mysql://app:secret@db1/shop")
    'mysql://app:***@db1/shop'
    """
    return _USERINFO.sub(_without_password, _SECRET.sub(r"\1***", dsn))


def _without_password(match: re.Match[str]) -> str:
    return f"{match['scheme'] or ''}{match['user']}{':***' if match['rest'] else ''}@"


def _variable(name: str, node: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigError(f"node {node!r}: the environment variable {name} is not set") from None
