"""What has changed between two readings of a file, as values: what `clustersql.reload` is to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .address import Address
from .file import ClusterConfig
from .knobs import KNOBS

__all__ = ["Changes", "Reading", "Reloaded", "changes"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What one cluster of a file is now, beside what it was when the file was read last."""

    knobs: Mapping[str, object]
    """The knobs to be changed, with their new values: what the file says no more has its default again."""
    fixed: tuple[str, ...]
    """What the file says otherwise now and cannot change while traffic runs: the driver, and some knobs."""
    addresses: Mapping[str, Address]
    """All nodes of the file, by their names, in its order."""
    kept: ClusterConfig
    """What the next reading is to be compared with."""
    came: tuple[str, ...] = ()
    """The nodes that are new in the file."""
    gone: tuple[str, ...] = ()
    """Those that are in the file no more."""
    moved: tuple[str, ...] = ()
    """Those that are at another place."""
    altered: tuple[str, ...] = ()
    """Those that are dialled otherwise, at the same place."""
    relisted: bool = False
    """Whether anything of the nodes is another: their order, or a weight, at least."""

    def told(self, cluster: str) -> Reloaded:
        """Return the same as it is told to who has asked for it."""
        replaced = (*self.moved, *self.altered)
        return Reloaded(cluster, self.came, self.gone, replaced, tuple(self.knobs), self.fixed)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a cluster was read from a file, and what it was then."""

    file: str
    """Where, as an absolute path; a link is followed anew at each reading."""
    name: str | None
    """Which cluster of the file was asked for; None: all."""
    driver: str | None
    """What stands in place of the file's driver; None: nothing."""
    config: ClusterConfig
    """What was read last, as far as it is in force."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What `clustersql.reload` has done with one cluster of a file."""

    cluster: str
    """Its name."""
    added: tuple[str, ...] = ()
    """The nodes that came."""
    drained: tuple[str, ...] = ()
    """The nodes that went: they get no new work, and what is under way there ends by itself."""
    replaced: tuple[str, ...] = ()
    """The nodes that are elsewhere, or dialled otherwise: new work goes by new connections."""
    knobs: tuple[str, ...] = ()
    """The knobs that were changed."""
    fixed: tuple[str, ...] = ()
    """What the file says otherwise and only a new process can take: the driver, and knobs that cannot change while
    traffic runs."""
    vanished: bool = False
    """Whether it is in the file no more.  It goes on as it was."""
    new: bool = False
    """Whether it is new in the file.  It was not opened: `clustersql.load` does that, with its ``name``."""


PLACE = ("host", "port", "unix_socket", "dsn", "via", "database")
"""What of an address says which server and database it is."""
BALANCE = ("weight", "priority", "zone")
"""What of it says how much work the node gets: its connections stay."""


def changes(before: ClusterConfig, after: ClusterConfig) -> Changes:
    """Return what has changed from one reading of a file to the next."""
    names = [*before.settings, *(name for name in after.settings if name not in before.settings)]
    values = {name: after.settings.get(name, KNOBS[name].default) for name in names}
    other = {name: value for name, value in values.items() if value != before.settings.get(name, KNOBS[name].default)}
    fixed = [name for name in ("driver", "async_driver") if getattr(before, name) != getattr(after, name)]
    old, new = dict(before.nodes), dict(after.nodes)
    both = [name for name in new if name in old]
    moved = tuple(name for name in both if _differ(old[name], new[name], PLACE))
    return Changes(
        MappingProxyType({name: value for name, value in other.items() if KNOBS[name].live}),
        (*fixed, *(name for name in other if not KNOBS[name].live)),
        MappingProxyType(new),
        _kept(before, after),
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
        moved,
        tuple(name for name in both if name not in moved and _balanced(old[name]) != _balanced(new[name])),
        before.nodes != after.nodes,
    )


def _kept(before: ClusterConfig, after: ClusterConfig) -> ClusterConfig:
    """What could not change stays as it was, so that it is named again by the next reading."""
    fixed = {name: value for name, value in before.settings.items() if not KNOBS[name].live}
    live = {name: value for name, value in after.settings.items() if KNOBS[name].live}
    return replace(before, settings=MappingProxyType(live | fixed), nodes=after.nodes)


def _differ(one: Address, other: Address, names: tuple[str, ...]) -> bool:
    return any(getattr(one, name) != getattr(other, name) for name in names)


def _balanced(address: Address) -> Address:
    return replace(address, weight=None, priority=None, zone=None)
