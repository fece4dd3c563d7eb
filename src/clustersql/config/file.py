"""Clusters from a TOML file.

1. Two forms: ours, ``[clusters.NAME]`` with ``[[clusters.NAME.nodes]]``, and the ancestor's ``[[Nodes]]``, unchanged.
2. Every mistake is reported, all in one `ConfigError`: file, key path, what was found (never a secret), what is
   allowed.
3. In our form every text of a node, and of ``patroni``, is a `Template`, so ``${NAME}`` is read from the environment
   at every dial.  The ancestor knew no variables, so its texts are taken as they are.
4. The knobs are those of `KNOBS`, with its checks.  Functions cannot stand in a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .address import Address, Template
from .checks import nearest, report
from .dsn import FIELDS, read_address
from .knobs import KNOBS, mistakes, unused
from .patroni import places, wrong_places
from .schema import Path, load, structure

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["ClusterConfig", "default_path", "read", "read_all"]

Mistake = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster of a file."""

    name: str
    """The cluster's name."""
    driver: str | None
    """The driver for threads; None: it has none."""
    async_driver: str | None
    """The driver for asyncio; None: the other one, where it serves both."""
    settings: Mapping[str, object] = field(hash=False)
    """The knobs that the file sets, checked: keyword arguments of `Cluster`."""
    nodes: tuple[tuple[str, Address], ...]
    """The name and address of each node."""


def default_path() -> str:
    """Return the file that is read when none is named: the environment's ``DBCONFIG``, or ``config.toml``."""
    return os.environ.get("DBCONFIG") or "config.toml"


def read(
    path: str | PathLike[str] | None = None, *, name: str | None = None, driver: str | None = None
) -> tuple[ClusterConfig, ...]:
    """Read the clusters of a TOML file.

    ``path`` defaults to `default_path`.  A file in the ancestor's form holds one cluster and names neither it nor its
    driver: there ``name`` (or else "default") and ``driver`` (or else None: the caller chooses) do.  In our form
    ``name`` picks one cluster and ``driver`` replaces what the file says.

    Raises `ConfigError` for a file that cannot be read, is empty, is no TOML or has a mistake in it.
    """
    file = os.fspath(path if path is not None else default_path())
    return tuple(_picked(file, read_all(file, name=name, driver=driver), name))


def read_all(file: str, *, name: str | None = None, driver: str | None = None) -> list[ClusterConfig]:
    """Read every cluster of a TOML file, whichever ``name`` picks; arguments and errors otherwise as for `read`."""
    data = load(file)
    found: list[Mistake] = []
    clusters = list(_clusters(data, name or "default", found.append))
    if found:
        raise report(file, [": ".join(filter(None, (file, _key_path(where), what))) for where, what in found])
    return [_replaced(cluster, driver) for cluster in clusters]


def _clusters(data: dict[str, Any], name: str, wrong: Callable[[Mistake], None]) -> Iterator[ClusterConfig]:
    """Yield what can be read of each cluster; call ``wrong`` with each mistake, which makes the rest worthless."""
    if data.keys() >= {"Nodes", "clusters"}:
        wrong(((), "holds both [clusters.NAME] and [[Nodes]]: keep one form"))
        return
    told = dict.fromkeys(structure(data))  # an ordered set: the same check may find the same mistake again
    read_form = _ancestor(data["Nodes"], name) if "Nodes" in data else _ours(data.get("clusters"))
    for item in read_form:
        if isinstance(item, ClusterConfig):
            yield item
        else:
            told[item] = None
    for mistake in told:
        wrong(mistake)


def _ours(clusters: object) -> Iterator[ClusterConfig | Mistake]:
    for name, raw in _tables(clusters):
        path: Path = ("clusters", name)
        knobs = {key: _of_file(key, value) for key, value in raw.items() if key in KNOBS and KNOBS[key].in_file}
        yield from (((*path, key), what) for key, what in mistakes(knobs))
        yield from _broken((*path, "patroni"), raw.get("patroni"))
        shared = _table(raw.get("arguments"))
        yield from _argument_mistakes((*path, "arguments"), shared)
        nodes = []
        for where, node in _numbered((*path, "nodes"), raw.get("nodes")):
            address, wrong = _node(where, node, shared)
            nodes.append((where, address))
            yield from wrong
            yield from (
                ((*where, key), what)
                for key, what in unused(raw.get("policy", KNOBS["policy"].default), node, raw.get("zone"))
            )
        yield from _twice(nodes, "name")
        named = tuple((address.node, address) for _, address in nodes)
        yield ClusterConfig(name, raw.get("driver"), raw.get("async_driver"), MappingProxyType(knobs), named)


def _of_file(name: str, value: object) -> object:
    """Return a knob's value; the URLs of a list may have variables and passwords, which nothing shows then."""
    return places(_template(value)) if KNOBS[name].type == "list" and not wrong_places(value) else value


def _node(path: Path, raw: dict[str, Any], shared: dict[str, Any]) -> tuple[Address, list[Mistake]]:
    own = _table(raw.get("arguments"))
    fields = {key: _template(value) for key, value in raw.items() if key in FIELDS}
    arguments = {key: _template(value) for key, value in (shared | own).items() if key not in FIELDS}
    # `shared` alone is no address: only what stands in the node itself says where it is.
    given = fields | arguments if fields or own or "url" in raw else {}
    address, found = read_address(str(raw.get("name", "")), _template(raw.get("url")), given)
    if "url" in raw and "dsn" in raw:
        found.append(("dsn", "give either url or dsn, not both"))
    wrong: list[Mistake] = [((*path, key), what) for key, what in found]
    wrong += _argument_mistakes((*path, "arguments"), own)
    wrong += _broken(path, {key: value for key, value in raw.items() if key != "arguments"})
    return address, wrong


def _argument_mistakes(path: Path, arguments: dict[str, Any]) -> Iterator[Mistake]:
    for key in arguments.keys() & FIELDS.keys():
        yield (*path, key), "is a key of the node itself, not one of the driver's arguments"
    yield from _broken(path, arguments)


def _broken(path: Path, value: object) -> Iterator[Mistake]:
    """Yield each text in which a ``${`` starts no variable: later it would be a password that no server accepts."""
    if isinstance(value, str) and Template(value).broken:
        yield path, "after ${ must follow a variable's NAME and }; a plain ${ is written $${"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _broken((*path, key), item)


def _template(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _template(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_template(item) for item in value]
    return Template(value) if isinstance(value, str) else value


# The ancestor's key, and ours.
_ANCESTOR = {"HostName": "host", "Port": "port", "UserName": "user", "Password": "password", "DBName": "database"}


def _ancestor(raw: object, name: str) -> Iterator[ClusterConfig | Mistake]:
    """Yield the one cluster of a file in the ancestor's form, which spread its writes over every node."""
    nodes = []
    for path, node in _numbered(("Nodes",), raw):
        # Go's driver took an empty password for none, and the ancestor's users leave it empty.
        fields = {ours: node[key] for key, ours in _ANCESTOR.items() if node.get(key, "") != ""}
        nodes.append((path, read_address(str(node.get("Name", "")), None, fields)[0]))
    yield from _twice(nodes, "Name")
    named = tuple((address.node, address) for _, address in nodes)
    yield ClusterConfig(name, None, None, MappingProxyType({"writer": "any"}), named)


def _twice(nodes: list[tuple[Path, Address]], key: str) -> Iterator[Mistake]:
    seen: dict[str, Path] = {}
    for path, address in nodes:
        if (first := seen.setdefault(address.node, path)) != path and address.node:
            yield (*path, key), f"{address.node!r} is already the name of {_key_path(first)}"


def _picked(file: str, clusters: list[ClusterConfig], name: str | None) -> list[ClusterConfig]:
    picked = [cluster for cluster in clusters if name in (None, cluster.name)]
    if not picked:
        raise ConfigError(f"{file}: no cluster {name!r}; {nearest(name or '', [c.name for c in clusters])}")
    return picked


def _replaced(cluster: ClusterConfig, driver: str | None) -> ClusterConfig:
    return replace(cluster, driver=driver) if driver is not None else cluster


def _table(value: object) -> dict[str, Any]:
    """Return ``value`` if it is a table, or an empty one: the schema tells that it is none."""
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, item) for name, item in _table(value).items() if isinstance(item, dict))


def _numbered(path: Path, value: object) -> Iterator[tuple[Path, dict[str, Any]]]:
    items = value if isinstance(value, list) else ()
    return (((*path, index), item) for index, item in enumerate(items) if isinstance(item, dict))


def _key_path(path: Path) -> str:
    """Return a path as TOML writes it: ``clusters.shop.nodes[1].port``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in path).removeprefix(".")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'
