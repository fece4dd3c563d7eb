"""What an engine's URL and keywords ask of us, read and checked before anything is made.

Rules
-----
1. Our parameters begin with ``clustersql_``; the others are the driver's, or SQLAlchemy's.
2. Nothing is dropped in silence: what has no effect, or would have another one, is refused with the remedy.
3. No part of the URL is repeated in an error: its password may be anywhere in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...config.checks import nearest
from ...config.knobs import KNOBS
from ...errors import ConfigError
from ...nodes.dial import NODE_ARGUMENTS
from ..attempts import TIMEOUT

PREFIX = "clustersql_"
OURS = ("cluster", "config", "pool")
"""Parameters of the URL that are no knob."""
POOLS = ("clustersql", "sqlalchemy")

ADDRESS = ("host", "port", "user", "username", "password", "hostaddr", "unix_socket", "passfile", "service")
"""Parameters of a URL's query that name a server, or a user."""

POOL_EVENTS = "its events would tell of the pool in front of the cluster's, which keeps nothing"
REFUSED = {
    "pool": "the connections are kept by the cluster's pool",
    "creator": "the connections come from the cluster",
    "pool_events": POOL_EVENTS,
    "pool_use_lifo": "the cluster's policy says which connection is next",
    "pool_reset_on_return": "a connection is always rolled back and made clean at its return",
}
"""Keywords of ``create_engine`` that our pool cannot do what they say."""
PAST_THE_CLUSTER = ("pool", "creator")
"""Those of them by which no pool would ask the cluster for a connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an engine asks for."""

    cluster: str | None
    """The name of a registered cluster, or of one in the file."""
    config: str | None
    """The path of a file of clusters."""
    pool: str
    """Whose pool keeps the connections: one of `POOLS`."""
    knobs: Mapping[str, Any] = field(default_factory=dict)
    """Knobs of a cluster that is made of the URL alone."""
    timeout: float = TIMEOUT
    """Seconds to wait for a connection."""


def read(url: Any, keywords: dict[str, Any]) -> Asked:
    """Return what ``url`` and the keywords of ``create_engine`` ask for; keywords that are ours are taken out.  Raises
    `ConfigError`.
    """
    given = {
        name.removeprefix(PREFIX): _one(name, value) for name, value in url.query.items() if name.startswith(PREFIX)
    }
    known = (*OURS, *KNOBS)
    if wrong := [name for name in given if name not in known]:
        raise ConfigError(f"the URL: no parameter {PREFIX}{wrong[0]}; {nearest(wrong[0], known)}, each after {PREFIX}")
    cluster, config, pool = (given.pop(name, None) for name in OURS)
    pool = pool or "clustersql"
    if pool not in POOLS:
        raise ConfigError(f"the URL: {PREFIX}pool must be one of {', '.join(POOLS)}")
    knobs = {name: _value(text) for name, text in given.items()}
    timeout = knobs.pop("timeout", None)
    if cluster or config:
        check_no_address(url)
    _check_arguments(url, keywords)
    if pool == "clustersql":
        _refuse(keywords)
        pooled = _pool_knobs(keywords)
        timeout = pooled.pop("timeout", timeout) if timeout is None else timeout
        knobs = pooled | knobs
    elif found := [name for name in PAST_THE_CLUSTER if keywords.get(name) is not None]:
        raise ConfigError(
            f"create_engine(): {found[0]}: it would be asked for connections in place of the cluster; leave it out"
        )
    if (cluster or config) and knobs:
        raise ConfigError(
            f"{', '.join(knobs)}: a cluster with a name has its knobs from where it was made, and other engines share"
            " it: set them there"
        )
    if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout < 1e9):
        raise ConfigError("the timeout (pool_timeout, clustersql_timeout) must be a number of seconds above 0")
    return Asked(cluster, config, pool, knobs, TIMEOUT if timeout is None else float(timeout))


def check_no_address(url: Any) -> None:
    """Raise `ConfigError` for an address or a user beside a cluster's name: they would be ignored."""
    found = [name for name in ("username", "password", "host", "port") if getattr(url, name)]
    found += [name for name in ADDRESS if name in url.query]
    if found:
        raise ConfigError(
            f"the URL: {', '.join(dict.fromkeys(found))} beside clustersql_cluster or clustersql_config: address and"
            " credentials are the nodes' of that cluster; leave them out"
            " (postgresql+psycopg:///database?plugin=clustersql&clustersql_cluster=NAME)"
        )


def _check_arguments(url: Any, keywords: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for an address or a user among the driver's arguments: every dial would go there."""
    in_query = {name for name in url.query if name in NODE_ARGUMENTS and name not in ("host", "port")}
    given = {"connect_args": set(keywords.get("connect_args") or ()) & NODE_ARGUMENTS, "the URL, behind ?": in_query}
    for where, found in given.items():
        if found:
            raise ConfigError(
                f"{where}: {', '.join(sorted(found))}: address and credentials are the nodes': give them where the"
                " cluster is made, or before the @ of a URL with hosts, or leave them out"
            )


def _refuse(keywords: Mapping[str, Any]) -> None:
    for name, why in REFUSED.items():
        if keywords.get(name) is not None and not (name == "pool_reset_on_return" and keywords[name] == "rollback"):
            raise ConfigError(
                f"create_engine(): {name} has no effect over a cluster: {why}; leave it out, or use"
                " clustersql_pool=sqlalchemy"
            )
    poolclass = keywords.get("poolclass")
    if poolclass is not None and poolclass.__name__ != "NullPool":
        raise ConfigError(
            f"create_engine(): poolclass {poolclass.__name__} has no effect over a cluster, whose own pool keeps the"
            " connections; leave it out, or use clustersql_pool=sqlalchemy"
        )


def _pool_knobs(keywords: dict[str, Any]) -> dict[str, Any]:
    """Take out the options of SQLAlchemy's pool, and return them as knobs of ours."""
    knobs: dict[str, Any] = {}
    size, overflow = keywords.pop("pool_size", None), keywords.pop("max_overflow", None)
    if size is not None or overflow is not None:
        size, overflow = (5 if size is None else int(size)), (10 if overflow is None else int(overflow))
        if size <= 0 or overflow < 0:
            raise ConfigError(
                "create_engine(): pool_size=0 and max_overflow=-1 mean no limit, and a cluster has one: give numbers"
                " above 0"
            )
        knobs["max_size"] = size + overflow
    if (timeout := keywords.pop("pool_timeout", None)) is not None:
        knobs["timeout"] = float(timeout)
    if (recycle := keywords.pop("pool_recycle", None)) is not None and float(
        recycle
    ) > 0:  # -1: never, which is SQLAlchemy's default
        knobs["max_lifetime"] = float(recycle)
    keywords.pop("pool_pre_ping", None)  # not needed: a dead connection is seen at its checkout, without a round trip
    return knobs


def _one(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"the URL: {name} stands in it twice")
    return value


def _value(text: str) -> Any:
    """Return what a knob's text means: numbers and booleans as in JSON, all else as a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
