"""Credentials that change: what a provider is given, and what it returns.

A provider is called at every dial, so that a rotated user, a cloud's token or a lease of a vault is seen by the next
connection.  It may be a coroutine function in the asyncio API.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutine
from typing import Any

from ..errors import ConfigError

__all__ = ["Credentials", "NodeAddress", "ProviderName", "checked", "lease_margin"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, and for how long."""

    user: str | None
    """Who logs in; None: as the driver has it."""
    password: str | None
    """The password or token; never shown."""
    expires: float | None = None
    """When they end, in seconds since 1970; None: not known.  A connection that was opened with them is retired
    before."""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password='***', expires={self.expires!r})"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Which node credentials are asked for: a cloud's token is made for a host, a port and a user."""

    name: str
    """The node's name."""
    host: str | None
    """Its host; None: a socket, or a driver's own string."""
    port: int | None
    """None: the driver's default."""
    database: str | None
    """The database."""


@dataclass(frozen=True, slots=True)
class ProviderName:
    """A provider that a file names, ``module:function``; it is imported at its first use."""

    name: str
    node: str

    def __call__(self, node: NodeAddress, refused: bool) -> Any:
        """Call it.  Raises `ConfigError` where there is none of that name, and what it raises."""
        module, _, function = self.name.partition(":")
        try:
            provider = getattr(import_module(module), function)
        except (ImportError, AttributeError) as exc:
            raise ConfigError(f"node {self.node!r}: credentials = {self.name!r} cannot be imported: {exc}") from exc
        return provider(node, refused)


def checked(credentials: object, node: str) -> Credentials:
    """Return what a provider has returned; raises `ConfigError` where that is nothing of the kind."""
    if not isinstance(credentials, Credentials):
        if iscoroutine(credentials):
            credentials.close()  # or Python warns that it was never awaited, far from the cause
        found = type(credentials).__name__
        raise ConfigError(f"node {node!r}: the credentials provider must return Credentials, not {found}")
    for name, kind in (("user", str), ("password", str), ("expires", (int, float))):
        value = getattr(credentials, name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            found = type(value).__name__
            raise ConfigError(f"node {node!r}: {name} of the provider's Credentials must not be of type {found}")
    return credentials


def lease_margin(seconds: float) -> float:
    """Return how many seconds before its end a lease of so many seconds is left: 60, or a tenth of it.

    >>> lease_margin(3600.0), lease_margin(30.0)
    (60.0, 3.0)
    """
    return min(60.0, seconds / 10.0)
