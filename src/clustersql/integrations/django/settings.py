"""What an alias of DATABASES asks of us, read and checked before anything is made.

Rules
-----
1. The nodes are those of NODES, of HOST (one, or several joined by commas), or of a registered CLUSTER: one of the
   three.
2. A replica (REPLICA_OF) is the same cluster with read-only sessions.  Everything else it has from the alias that it
   names.
3. Nothing is dropped in silence: what has no effect is refused with the remedy.  No password is in an error.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ...config.checks import nearest
from ...config.knobs import KNOBS, mistakes
from ...config.options import Options
from ...errors import ConfigError
from ...nodes.dial import NODE_ARGUMENTS
from ..attempts import TIMEOUT
from ..servers import server_of

ENGINE = "clustersql.integrations.django."
"""How the ENGINE of ours begins; a package's own backend over `Clustered` is known by its keys."""
OURS = ("NODES", "CLUSTER", "KNOBS", "REPLICA_OF")
PER_CALL = ("timeout", "max_lag")
"""What KNOBS may have where the cluster is made elsewhere: they are this alias's own."""
INHERITED = ("NAME", "USER", "PASSWORD", "HOST", "PORT", "NODES", "CLUSTER", "OPTIONS")
"""What a replica has from the alias that it names."""
SERVERS = NODE_ARGUMENTS | {"service"}
"""Names in OPTIONS that would lead every dial to one server, or to a list of the driver's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an alias asks for."""

    source: str
    """The alias whose settings make the cluster: itself, or the one that it is a replica of."""
    cluster: str | None
    """The name of a registered cluster; None: it is made of `nodes`."""
    nodes: tuple[tuple[str, int | None], ...]
    """Host, or path of a socket, and port of each."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Knobs of a cluster that is made."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of this alias's connections."""

    @property
    def servers(self) -> dict[str, tuple[str, int | None]]:
        """The nodes by their names: the host, with its port where hosts repeat."""
        hosts = [host for host, _ in self.nodes]
        return {host if hosts.count(host) == 1 else f"{host}:{port}": (host, port) for host, port in self.nodes}


def is_ours(entry: Mapping[str, Any]) -> bool:
    """Whether an alias is over a cluster."""
    return str(entry.get("ENGINE", "")).startswith(ENGINE) or any(entry.get(key) for key in OURS)


def read(alias: str, databases: Mapping[str, Mapping[str, Any]]) -> Asked:
    """Return what ``alias`` asks for.  Raises `ImproperlyConfigured` naming the alias and the mistake."""
    entry = databases[alias]
    _check_names(alias, entry)
    source = entry.get("REPLICA_OF") or alias
    if entry.get("REPLICA_OF"):
        _check_replica(alias, source, databases)
    options = _options(alias, entry, is_replica=source != alias)
    made_of = databases[source]
    _check_options(source, made_of)
    if name := made_of.get("CLUSTER"):
        _check_named(source, made_of)
        return Asked(source, name, (), {}, options)
    return Asked(source, None, _nodes(source, made_of), _knobs(source, made_of), options)


def adopt(alias: str, databases: Mapping[str, MutableMapping[str, Any]]) -> None:
    """Give a replica what it has from its alias, and let tests use that one's database for it."""
    entry = databases[alias]
    if source := entry.get("REPLICA_OF"):
        test = entry.setdefault("TEST", {})
        if test.get("MIRROR") != source:
            test["MIRROR"] = source
            entry.update({key: databases[source][key] for key in INHERITED if key in databases[source]})


def wrong(alias: str, text: str) -> ImproperlyConfigured:
    """Return the error of a mistake in an alias."""
    return ImproperlyConfigured(f"DATABASES[{alias!r}]: {text}")


def _check_names(alias: str, entry: Mapping[str, Any]) -> None:
    """Tell of a key that is nearly one of ours: Django ignores what it does not know."""
    for key in entry:
        if key not in OURS and (near := get_close_matches(str(key), OURS, 1, 0.8)):
            raise wrong(alias, f"{key}: there is no such key; did you mean {near[0]}?")


def _check_replica(alias: str, source: str, databases: Mapping[str, Mapping[str, Any]]) -> None:
    entry = databases[alias]
    if source not in databases:
        raise wrong(alias, f"REPLICA_OF: there is no alias {source!r}; {nearest(source, databases)}")
    if source == alias or databases[source].get("REPLICA_OF"):
        raise wrong(alias, f"REPLICA_OF: {source!r} is a replica itself: name the alias that has the nodes")
    if not is_ours(databases[source]) or databases[source].get("ENGINE") != entry.get("ENGINE"):
        raise wrong(alias, f"REPLICA_OF: its ENGINE must be that of {source!r}")
    mirror = entry.get("TEST", {}).get("MIRROR")
    if mirror == source:
        return  # it was given them already, or says itself what we would
    if mirror:
        raise wrong(alias, f"TEST['MIRROR'] must be {source!r}, which REPLICA_OF sets by itself: leave it out")
    if found := [key for key in INHERITED if entry.get(key)]:
        raise wrong(alias, f"{', '.join(found)} beside REPLICA_OF: a replica has them from {source!r}; leave them out")


def _check_named(alias: str, entry: Mapping[str, Any]) -> None:
    if found := [key for key in ("NODES", "HOST", "PORT", "USER", "PASSWORD") if entry.get(key)]:
        raise wrong(
            alias,
            f"{', '.join(found)} beside CLUSTER: address and credentials are the nodes' of that cluster; leave them"
            " out",
        )
    if found := [name for name in entry.get("KNOBS") or {} if name not in PER_CALL]:
        raise wrong(
            alias,
            f"KNOBS: {', '.join(found)}: a cluster with a name has its knobs from where it was made: set them there",
        )


def _check_options(alias: str, entry: Mapping[str, Any]) -> None:
    options = entry.get("OPTIONS") or {}
    if options.get("pool"):
        raise wrong(
            alias,
            "OPTIONS['pool'] has no effect over a cluster, whose own pool keeps the connections: leave it out, and set "
            "KNOBS = {'max_size': ...}",
        )
    if found := sorted(SERVERS.intersection(options)):
        raise wrong(
            alias, f"OPTIONS: {', '.join(found)}: address and credentials are those of NODES, USER and PASSWORD"
        )


def _nodes(alias: str, entry: Mapping[str, Any]) -> tuple[tuple[str, int | None], ...]:
    given, host = entry.get("NODES"), entry.get("HOST")
    if given and host:
        raise wrong(alias, "NODES and HOST together: name all servers by NODES, or by HOST = 'db1:5432,db2:5432'")
    texts = given or [part.strip() for part in str(host or "").split(",") if part.strip()]
    if not texts:
        raise wrong(
            alias,
            "it names no server: give NODES = ['db1:5432', 'db2:5432'], HOST, or CLUSTER, a registered one's name",
        )
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise wrong(alias, "NODES must be a list of texts: ['db1:5432', 'db2:5432']")
    port = str(entry.get("PORT") or "")
    if port and not port.isdecimal():
        raise wrong(alias, "PORT must be one number, that of every server without its own")
    servers = [server_of(text) for text in texts]
    if None in servers:
        raise wrong(alias, "each server must be NAME, NAME:PORT or the path of a socket")
    found = tuple((host, own or (int(port) if port else None)) for host, own in filter(None, servers))
    if len(set(found)) < len(found):
        raise wrong(alias, "a server stands there twice")
    return found


def _knobs(alias: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(entry.get("KNOBS") or {})
    knobs = {name: value for name, value in given.items() if name not in PER_CALL}
    if found := [f"KNOBS: {name}: {text}" for name, text in mistakes(knobs)]:
        raise wrong(alias, "; ".join(found))
    return knobs


def _options(alias: str, entry: Mapping[str, Any], is_replica: bool) -> dict[str, Any]:
    given = entry.get("KNOBS") or {}
    if not isinstance(given, Mapping):
        raise wrong(alias, "KNOBS must be a dictionary of the cluster's knobs")
    if is_replica and (found := [name for name in given if name not in PER_CALL]):
        known = ", ".join(name for name in found if name in KNOBS) or nearest(found[0], KNOBS)
        raise wrong(alias, f"KNOBS: {known}: a replica is the same cluster: it may have max_lag and timeout only")
    if not is_replica and given.get("max_lag") is not None:
        raise wrong(alias, "KNOBS: max_lag has no effect on the primary: give it to the alias with REPLICA_OF")
    options = {"timeout": TIMEOUT} | {name: given[name] for name in PER_CALL if given.get(name) is not None}
    options |= {"read_only": True} if is_replica else {}
    try:
        Options().changed(**options)
    except ConfigError as exc:
        raise wrong(alias, f"KNOBS: {exc}") from None
    return options
