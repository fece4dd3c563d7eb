"""What a caller may set per operation: an immutable value, shared by the sync and the asyncio API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ..core.causal.after import Causal, Remembers
from ..core.causal.bookmark import parse
from ..core.view.freshness import max_lag
from ..core.view.use import Claim
from ..core.view.view import Service, Want
from ..errors import ConfigError
from .checks import is_number, nearest, report
from .knobs import LAG, SECONDS, Knobs

ROLES = {
    "primary": Service.WRITE,
    "replica": Service.REPLICA,
    "any": Service.READ,
    "prefer-replica": Service.PREFER_REPLICA,
}
"""What a caller may ask for, by its name."""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of an operation."""

    timeout: float | None = None
    """Seconds for the operation as a whole; None: the cluster's."""
    read_only: bool = False
    """Any ready node may serve, and the server refuses writes."""
    idempotent: bool = False
    """Running it twice does no harm, so it is retried also when nobody knows whether it ran."""
    node: str | None = None
    """The only node that may serve it."""
    role: str | None = None
    """Which nodes may serve it, by their role: one of `ROLES`; None: by ``read_only``."""
    move: bool = True
    """False: the work stays in its session."""
    max_lag: float | str | None = None
    """How far behind a replica may be that serves it, in seconds, or as a size of its log ("16MB")."""
    after: str | None = None
    """The bookmark that a read must have seen; "": none."""
    keep: float | None = None
    """For how many seconds `once` keeps a key; None: `KEEP`."""
    claim: Claim | None = None
    """What its sessions are made with, as `Cluster.open` was told; no caller sets it later."""
    memory: Remembers | None = None
    """What a causal view remembers; no caller sets it later."""
    read_role: str = "any"
    """What read-only work means where no role was given, one of `ROLES`: the cluster's knob; no caller sets it."""

    def changed(self, **values: Any) -> Options:
        """Return these options with ``values`` instead; None leaves a value as it is.  Raises `ConfigError` naming
        every mistake.
        """
        given = {name: value for name, value in values.items() if value is not None}
        found = [f"{name}: {text}" for name, value in given.items() if (text := _mistake(name, value))]
        if found:
            raise report("the options", found)
        return replace(self, **given)

    @classmethod
    def under(cls, knobs: Knobs, given: Mapping[str, Any] = MappingProxyType({})) -> Options:
        """Return what a caller has ``given``, and the cluster's knobs where nothing was given."""
        own = {"read_only": knobs.read_only, "max_lag": knobs.max_lag, "read_role": knobs.read_role}
        return cls(**(own | dict(given)))

    def want(self, autocommit: bool) -> Want:
        """Return what a connection with these options needs."""
        service = ROLES[self.role or (self.read_role if self.read_only else "primary")]
        if self.node is not None and self.role is None:
            # A node that is named is wanted whatever its role; the server refuses what it cannot do.
            service = Service.READ
        lag = None if self.max_lag is None else max_lag(self.max_lag)
        use = None if self.claim is None else self.claim.use
        return Want(service, self.read_only, autocommit, self.node, self.move, lag, use, causal=self._causal())

    def _causal(self) -> Causal | None:
        """What a read must have seen.  A write goes to the primary, which has it; only a memory is told of that."""
        after = parse(self.after) if self.after and self.read_only else None
        return None if after is None and self.memory is None else Causal(after, self.memory)


def memory_of(options: Options) -> Remembers:
    """Return the memory of a causal view.  Raises `ConfigError` where there is none."""
    if options.memory is None:
        raise ConfigError("bookmark: this view remembers nothing: read it of what db.causal() has returned")
    return options.memory


OPTIONS = tuple(name for name in Options.__dataclass_fields__ if name not in ("claim", "memory", "read_role"))
"""What a caller may set."""
PER_CALL = tuple(name for name in OPTIONS if name not in ("idempotent", "after", "keep"))
"""What `Database.connection` takes too, in this order.

The others are said of statements: ``idempotent``, and ``after``, which is another at each call and so would be kept in
vain; ``keep`` is of `once` alone.
"""


def _mistake(name: str, value: object) -> str | None:
    if name not in OPTIONS:
        return f"no such option; {nearest(name, OPTIONS)}"
    if name == "timeout":
        good = is_number(value) and 0 < value < 1e9  # type: ignore[operator]
        return None if good else f"must be a number of seconds above 0, not {value!r}"
    if name == "keep":
        return SECONDS.complaint(value)
    if name == "after":
        return _no_bookmark(value)
    if name == "max_lag":
        return LAG.complaint(value)
    if name == "role":
        return (
            None if isinstance(value, str) and value in ROLES else f"must be one of {', '.join(ROLES)}, not {value!r}"
        )
    if name == "node":
        return None if isinstance(value, str) else f"must be a node's name, not {value!r}"
    return None if isinstance(value, bool) else f"must be True or False, not {value!r}"


def _no_bookmark(value: object) -> str | None:
    try:
        return None if value == "" else str(parse(value)) and None
    except ConfigError as exc:
        return str(exc)


@dataclass(frozen=True, slots=True)
class MeasuredLag:
    """How a cluster learns by how much a replica is behind."""

    database: str
    """The name of its dialect."""
    units: frozenset[str]
    """In what the lag can be told: "seconds", "bytes"; nothing: it cannot be measured."""
    probe_interval: float
    """How often a node is asked, in seconds."""
    tells_positions: bool = True
    """Whether a node can be asked for a position that a reader can wait for."""


def check_options(options: Options, cluster: str, nodes: Collection[str], lag: MeasuredLag) -> None:
    """Raise `ConfigError` when the options name a node that the cluster does not have, or a lag that it cannot tell."""
    if options.node is not None and options.node not in nodes:
        raise ConfigError(f"cluster {cluster!r} has no node {options.node!r}; {nearest(options.node, nodes)}")
    if options.after or options.memory is not None:
        _check_causal(options, cluster, lag)
    if options.max_lag is not None:
        check_lag(options.max_lag, cluster, lag)


def _check_causal(options: Options, cluster: str, lag: MeasuredLag) -> None:
    what = "causal()" if options.memory is not None else "after"
    if not lag.tells_positions:
        text = f"{what}: a {lag.database} database tells no positions that a reader could wait for; leave it out"
        raise ConfigError(f"cluster {cluster!r}: {text}")
    if options.node is not None:
        text = f"{what}: which node has what was written is found out, so node={options.node!r} cannot stand beside it"
        raise ConfigError(f"cluster {cluster!r}: {text}; leave one of them out")


def check_lag(value: float | str, cluster: str, lag: MeasuredLag) -> None:
    """Raise `ConfigError` when the database cannot tell its lag, or is not asked often enough to tell this one."""
    asked = max_lag(value)
    if not lag.units:
        text = f"max_lag: the lag of a {lag.database} database cannot be measured here"
        raise ConfigError(f"cluster {cluster!r}: {text}; leave it out, or read from the primary")
    if asked.seconds is None and "bytes" not in lag.units:
        text = f"max_lag: {value!r} is a size, and of a {lag.database} database only the time is known"
        raise ConfigError(f"cluster {cluster!r}: {text} by which a replica is behind: give seconds")
    seconds = asked.seconds
    if seconds is not None and seconds < 2 * lag.probe_interval:
        text = f"max_lag: {seconds:g} s is less than two probe intervals, so no replica would ever be known to keep it"
        raise ConfigError(f"cluster {cluster!r}: {text}; set probe_interval to at most {seconds / 2:g}")


def changed_here(options: Options, values: Mapping[str, Any]) -> Options:
    """Return ``options`` with the ``values`` that can change on a connection.  Raises `ConfigError`, also for what
    cannot.
    """
    if fixed := [name for name in ("read_only", "node", "role", "after") if values.get(name) is not None]:
        # In silence it would be worse than useless: a caller would believe that the server refuses writes.
        raise ConfigError(f"{', '.join(fixed)}: cannot change on a connection; give it to db.connection()")
    return options.changed(**values)
