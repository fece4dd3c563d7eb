"""Zones, as a person writes them: of the cluster's own process, of a node, and a map for servers behind an address.

A zone may be ``${NAME}``, an environment variable, in code and in a file: one deployment runs in all zones.  Where the
own one is set to nothing, every node is as near as any.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping

from ..core.view.endpoint import endpoint
from ..errors import ConfigError
from .address import Address
from .checks import Check, is_number

__all__ = ["NODE_ZONE", "PREFERENCE", "ZONE", "ZONE_MAP", "expanded", "node_zone"]

_ZONE = re.compile(r"[^\s,${}]{1,64}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expanded(text: str) -> str:
    """Return the zone that ``text`` means, its variables read from the environment.  Raises KeyError for one that is
    not set.
    """
    return _VARIABLE.sub(lambda match: os.environ[match[1]], text).strip()


def node_zone(address: Address) -> str:
    """Return the zone of a configured node; "": it has none.  Raises `ConfigError` naming the node and the variable
    that is not set.
    """
    try:
        return expanded(address.zone or "")
    except KeyError as exc:
        text = f"node {address.node!r}: zone: the environment variable {exc.args[0]} is not set"
    raise ConfigError(text)


def _wrong_zone(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        zone = expanded(value)
    except KeyError as exc:
        return f"the environment variable {exc.args[0]} is not set; set it to nothing where there is no zone"
    return "" if not zone or _ZONE.fullmatch(zone) else f"{reprlib.repr(zone)} is no zone's name"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _ZONE.fullmatch(value) is not None


def _is_node_zone(value: object) -> bool:
    """What its variables are is known only when the node is added."""
    return isinstance(value, str) and _is_name(_VARIABLE.sub("x", value))


def _wrong_entry(value: object) -> str:
    """Return what is wrong with a map from what a server is called to its zone."""
    for key, zone in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(key, str) or not _is_key(key):
            return f"the key {reprlib.repr(key)} is neither a name, a host, host:port, nor a network"
        if not _is_name(zone):
            return f"{key!r} leads to {reprlib.repr(zone)}, which is no zone's name"
    return ""


def _is_key(key: str) -> bool:
    from ipaddress import ip_network  # here, because few programs have a map of zones

    try:
        return bool(ip_network(key, strict=False) if "/" in key else endpoint(key))
    except ValueError:
        return False


ZONE = Check(
    "str",
    "a zone's name, such as eu-1a, or ${NAME} for an environment variable",
    lambda v: v is None or (isinstance(v, str) and not _wrong_zone(v)),
    why=_wrong_zone,
)
NODE_ZONE = Check("str", "a zone's name, such as eu-1a, or ${NAME} for an environment variable", _is_node_zone)
ZONE_MAP = Check(
    "table",
    "a table of zones, such as {'10.0.1.0/24': 'eu-1a', 'db-0': 'eu-1b'}",
    lambda v: v is None or (isinstance(v, Mapping) and not _wrong_entry(v)),
    why=_wrong_entry,
)
PREFERENCE = Check("float", "a number from 1 to 1000", lambda v: is_number(v) and 1 <= v <= 1000)
