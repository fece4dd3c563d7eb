"""Discovery outside the core: the settings it begins with, and the address of a node that was discovered.

A discovered node is dialled as the first configured one is: the same user, password, database and driver arguments, at
another place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config.address import Address, PasswordFile, Template
from ..core.view.endpoint import HostPort, endpoint, plain
from ..core.view.members import Discovery
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..config.knobs import Knobs
    from ..dialects import Dialect

PLACE = frozenset("host hostaddr port unix_socket unix_sock".split())
"""Drivers' own arguments that say where a server is: those of the first node are not another node's."""


def begun(settings: Knobs, dialect: Dialect) -> Discovery | None:
    """Return what is known of the members at first; None: nobody wants to know."""
    if not settings.discover:
        return None
    address_map = {_key(key): endpoint(value) for key, value in (settings.address_map or {}).items()}
    return Discovery(address_map, settings.forget_after, dialect.port)


def _key(key: str) -> str:
    """An address is compared in its plain form, any other name as it is."""
    try:
        return str(endpoint(key)) if ":" in key or "." in key else key
    except ValueError:
        return key


def check_discovery(name: str, discover: bool | str, dialect: Dialect) -> None:
    """Raise `ConfigError` when the members are to be discovered of a database that cannot tell them, or that no Patroni
    looks after.
    """
    if discover == "patroni" and not dialect.has_patroni:
        text = f"discover: Patroni looks after PostgreSQL, not a {dialect.name} database; leave it out"
        raise ConfigError(f"cluster {name!r}: {text}")
    if discover and dialect.ask_members is None:
        text = f"discover: a {dialect.name} database does not tell its members; leave it out, and add_node() each"
        raise ConfigError(f"cluster {name!r}: {text}")


def where(address: Address, port: int | None) -> HostPort | None:
    """Return where a node was configured to be; ``port`` stands for none.  None: by a socket, behind a pooler, in a
    driver's own string, or not known yet.
    """
    host = address.host
    if isinstance(host, Template):
        try:
            host = host.expand(address.node)
        except ConfigError:  # a variable that is not set: the dial will say so
            return None
    return None if host is None or address.unix_socket or address.via else HostPort(plain(host), address.port or port)


def derived(name: str, at: HostPort, first: Address) -> Address:
    """Return the address of the discovered node ``name``: ``at``, and everything else as for the first configured
    one.
    """
    arguments: Mapping[str, object] = {key: value for key, value in first.arguments.items() if key not in PLACE}
    if first.dsn is not None and "hostaddr" in first.dsn:  # libpq would go there, whatever the host is
        arguments = {**arguments, "hostaddr": ""}
    password = first.password
    if isinstance(password, PasswordFile):
        password = replace(password, node=name)
    return replace(
        first, node=name, host=at.host, port=at.port, unix_socket=None, via=None, password=password, arguments=arguments
    )
