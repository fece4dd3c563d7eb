"""Every knob of a cluster, described once.

1. `Knobs` is the table: one line per knob with its type, default, check, unit and help.
2. `KNOBS` is the same table as values.  The TOML reader, the reference in the docs and the command line read it.
3. `settings` checks everything and reports every mistake in one `ConfigError`.
4. Nothing is infinite: a time is above 0 and at most a year, a count has a lower bound, and ``True`` is not a number.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, TypeVar, cast

from ..core.guard.table import DEFAULT, Table
from ..core.policies.configured import THRESHOLD
from ..core.policies.named import NAMED
from ..core.policies.zoned import PREFERENCE as TIMES
from ..core.view.endpoint import endpoint
from ..core.view.freshness import max_lag
from ..dialects import KNOWN
from ..errors import ConfigError
from .checks import Check, count, is_number, nearest, one_of, report
from .patroni import Place, places, wrong_places
from .zones import PREFERENCE, ZONE, ZONE_MAP, expanded

__all__ = [
    "DIALECTS",
    "KNOBS",
    "POLICIES",
    "READ_ROLES",
    "WRITERS",
    "Knob",
    "Knobs",
    "changed",
    "check_seconds",
    "mistakes",
    "settings",
    "unused",
]

T = TypeVar("T")

POLICIES = tuple(NAMED)
WRITERS = ("single", "any")
READ_ROLES = ("any", "prefer-replica", "replica")
DIALECTS = tuple(KNOWN)
YEAR = 31_536_000.0  # s; far more, and the wait of a lock raises OverflowError in the middle of a failover


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting of a cluster, as the documentation and the command line show it."""

    name: str
    """As it is written in code and in a file."""
    type: str
    """The name of the type of its values, such as ``float``."""
    default: object
    """What it is when nobody sets it."""
    check: Check
    """What is allowed."""
    help: str
    """What it means, in words."""
    unit: str
    """``s`` for seconds; "": a count, a name or a flag."""
    live: bool
    """Whether it can change while traffic runs (`Cluster.reconfigure`)."""

    @property
    def in_file(self) -> bool:
        """Whether a TOML file may set this knob."""
        return self.type != "callable"


# The comparisons also refuse NaN and infinity.
SECONDS = Check("float", "a number of seconds above 0, at most a year", lambda v: is_number(v) and 0 < v <= YEAR)
WAIT = Check("float", "a number of seconds from 0, at most a year", lambda v: is_number(v) and 0 <= v <= YEAR)
SHARE = Check("float", "a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1)
FLAG = Check("bool", "true or false", lambda v: isinstance(v, bool))
HOOK = Check("callable", "a function that takes the driver's connection", lambda v: v is None or callable(v))
LAG = Check(
    "str",
    "a number of seconds above 0, at most a year, or a text such as 2s or 16MB",
    lambda v: v is None or (SECONDS.accepts(v) if not isinstance(v, str) else _is_lag(v)),
)
MAP = Check(
    "table",
    "a table of addresses, such as {'10.0.0.1': 'db1.example.com:5432'}",
    lambda v: v is None or _is_map(v),
    why=lambda v: _wrong_entry(v),
)
TABLE = Check(
    "str",
    "a table's name, or schema.name",
    lambda v: isinstance(v, str) and not _wrong_table(v),
    why=lambda v: _wrong_table(v) if isinstance(v, str) and v else "",
)
DISCOVER = Check("bool", 'true, false or "patroni"', lambda v: isinstance(v, bool) or v == "patroni", ("patroni",))
PLACES = Check(
    "list",
    "a list of Patroni's addresses, such as ['http://db1.example.com:8008']",
    lambda v: not wrong_places(v),
    secret=True,
    why=lambda v: wrong_places(v),
)
POLICY = one_of(POLICIES, also=" (or, in code, a function)", accepts=callable)
WRITER = one_of(WRITERS)
READ_ROLE = one_of(READ_ROLES)
DIALECT = one_of(DIALECTS, accepts=lambda v: v is None)


def check_seconds(what: str, value: object) -> None:
    """Raise `ConfigError` where ``value`` is neither a number of seconds to wait nor None; ``what``: whose it is."""
    if value is not None and not WAIT.accepts(value):
        raise ConfigError(f"{what}: must be a number of seconds from 0 to a year, or None, not {value!r}")


def _wrong_table(text: str) -> str:
    try:
        Table.parse(text)
    except ValueError as exc:
        return str(exc)
    return ""


def _is_lag(text: str) -> bool:
    try:
        asked = max_lag(text)
        return (asked.size or 0) > 0 if asked.seconds is None else SECONDS.accepts(asked.seconds)
    except ValueError:
        return False


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping) and not _wrong_entry(value)


def _is_endpoint(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(endpoint(value))
    except ValueError:
        return False


def _wrong_entry(value: object) -> str:
    """Return what is wrong with an address map: from a name or address that the database tells, to ``host`` or
    ``host:port``.
    """
    entries = value.items() if isinstance(value, Mapping) else ()
    for key, to in entries:
        if not isinstance(key, str) or not key.strip() or key != key.strip():
            return f"the key {reprlib.repr(key)} is no name or address"
        if "," in key or (":" in key and not _is_endpoint(key)):
            return f"the key {reprlib.repr(key)} is neither a name, a host, nor host:port"
        if not _is_endpoint(to):
            return f"{key!r} leads to {reprlib.repr(to)}, which is neither host nor host:port"
    return ""


def _knob(default: T, check: Check, help: str, unit: str = "", live: bool = True) -> T:
    """Declare a knob.  Typed as its default, so that type checkers see an ordinary dataclass field."""
    metadata = {"check": check, "help": help, "unit": unit, "live": live}
    return field(default=default, metadata=metadata)


def _time(default: float, help: str) -> float:
    return _knob(default, SECONDS, help, "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """The checked value of every knob.  Made by `settings`; the class itself checks nothing."""

    timeout: float = _time(
        30.0, "How long a caller waits for a connection in all: choosing, dialling, queueing and the end of a failover."
    )
    connect_timeout: float = _time(5.0, "How long one node may take to accept a connection and log us in.")
    stagger: float = _time(0.25, "How long the best node may take to connect before the next one is dialled as well.")
    max_size: int = _knob(10, count(1), "The most connections that the pool holds, over all nodes together.")
    min_idle: int = _knob(
        0, count(0), "How many idle connections the pool keeps ready for the next callers, with each set of arguments."
    )
    max_lifetime: float = _time(1800.0, "The age at which a connection is replaced when it is next idle, with jitter.")
    max_idle_time: float = _time(600.0, "How long a connection may stay unused before it is closed, with jitter.")
    max_dials_per_node: int = _knob(
        2, count(1), "How many connections to one node may be under way at once, so that no outage ends in a storm."
    )
    stall_after: float = _time(
        2.0, "How long a statement may stay silent before its node is probed.  Slow statements on live nodes go on."
    )
    leak_after: float = _time(
        60.0, "How long a connection of the pool may be held before the log says once where it was checked out."
    )
    probe_interval: float = _time(1.0, "How often each node is asked for its role and whether it is ready.")
    policy: str | Callable[..., Any] = _knob(  # noqa: RUF009 -- it is field()
        cast("str | Callable[..., Any]", "least-latency"), POLICY, "How a node is chosen among those that may serve."
    )
    local_threshold: float = _time(
        THRESHOLD, "Policy nearest: how much longer than the nearest node a node may take to answer, and still be near."
    )
    writer: str = _knob(
        "single",
        WRITER,
        "Where writes go when several nodes accept them: to the first ready one in the configured order, or to any.",
    )
    max_receive_queue: int = _knob(
        500,
        count(1),
        "Galera: a node with more write-sets received and not yet applied is overloaded and gets no work.",
    )
    max_lag: float | str | None = _knob(
        cast("float | str | None", None),
        LAG,
        "How far behind a replica may be that serves, in seconds, or as a size of its log.  Unknown is too far.",
    )
    causal_wait: float = _knob(
        0.02,
        WAIT,
        "Causal reads: how long a replica is waited for that has not seen what was written; then the primary serves.",
        "s",
    )
    read_only: bool = _knob(
        False, FLAG, "Whether the whole cluster is only read: then every ready node serves, or those of read_role."
    )
    read_role: str = _knob(
        "any",
        READ_ROLE,
        "Who serves read-only work where no role is asked for: any ready node, a replica as long as one serves, or"
        " replicas only.",
    )
    zone: str | None = _knob(
        cast("str | None", None),
        ZONE,
        "The zone that this program runs in: its nodes are preferred as long as they can carry the load.  Empty: none.",
    )
    zone_preference: float = _knob(
        TIMES,
        PREFERENCE,
        "With zone: how many times longer than the best node elsewhere the best node of the zone may take to answer.",
    )
    zone_map: Mapping[str, str] | None = _knob(
        cast("Mapping[str, str] | None", None),
        ZONE_MAP,
        "With zone: the zone of a server by what it tells of itself (its name, host, host:port or network), as behind"
        " one address.",
    )
    retry_limit: int = _knob(2, count(0), "How often one operation may be tried again on another node.")
    retry_ratio: float = _knob(0.2, SHARE, "The share of operations that may be retries, so that an outage stays one.")
    retry_reserve: int = _knob(10, count(0), "How many retries are allowed beyond that share.")
    breaker_base: float = _time(1.0, "How long a failed node rests before it is dialled again; doubles each time.")
    breaker_cap: float = _time(30.0, "The longest rest of a failed node between two dials.")
    slow_start: float = _time(10.0, "How long a node that came back takes to reach its full share of the traffic.")
    failover_probe: float = _time(
        0.1, "How often every node is probed while no node has the role that is wanted; at first more often."
    )
    discover: bool | str = _knob(
        cast("bool | str", False),
        DISCOVER,
        "Whether the cluster learns further nodes, and drops them when they have gone: from the database itself, or"
        " from Patroni.",
        live=False,
    )
    patroni: tuple[Place, ...] | None = _knob(
        cast("tuple[Place, ...] | None", None),
        PLACES,
        'With discover = "patroni": the URLs at which Patroni is asked.  When not set, each node\'s own host, at port'
        " 8008.",
        live=False,
    )
    address_map: Mapping[str, str] | None = _knob(
        cast("Mapping[str, str] | None", None),
        MAP,
        "With discover: what the database calls a member (its name, host, or host:port) and where we reach it (host"
        " or host:port).",
        live=False,
    )
    forget_after: float = _time(
        60.0,
        "How long a server that shares its address with others must not be up before it is forgotten; with discover"
        " also how long nobody may report a discovered node before it is taken out as by remove_node.",
    )
    lineage_after: float = _time(
        60.0,
        "How long only another database must have answered, at every address, before it is taken for the cluster's own,"
        " as after a restore.",
    )
    commit_guard: bool = _knob(
        False,
        FLAG,
        "Whether each COMMIT of a write carries a token, by which it is found out what became of it when its answer"
        " is lost.",
        live=False,
    )
    commit_guard_table: str = _knob(
        DEFAULT,
        TABLE,
        "Where the tokens are: schema.name.  On MySQL and MariaDB the default means the node's own database.",
        live=False,
    )
    commit_guard_required: bool = _knob(
        False,
        FLAG,
        "Whether a missing table or grant of the commit guard is an error when the cluster is opened, and no warning"
        " later.",
        live=False,
    )
    on_connect: Callable[[Any], object] | None = _knob(  # noqa: RUF009
        cast("Callable[[Any], object] | None", None),
        HOOK,
        "Called with each new connection of the driver before it is used; a transaction that it leaves open is"
        " committed.  In code only.",
        live=False,
    )
    dialect: str | None = _knob(
        cast("str | None", None),
        DIALECT,
        "The database's family; mysql covers MariaDB and Galera.  Found from the driver when not set.",
        live=False,
    )


def _described(name: str, default: object, check: Check, help: str, unit: str, live: bool) -> Knob:
    return Knob(name, check.type, default, check, help, unit, live)


KNOBS: Mapping[str, Knob] = MappingProxyType(
    {f.name: _described(f.name, f.default, **f.metadata) for f in fields(Knobs)}
)

# (small, large): the first must not exceed the second.
ORDERED = (("min_idle", "max_size"), ("breaker_base", "breaker_cap"))


def settings(**values: object) -> Knobs:
    """Check knobs and return them all, defaults filled in.

    Times are in seconds.  Raises `ConfigError` naming every mistake: unknown names with the nearest valid one, wrong
    types, values out of range, and knobs that contradict each other.
    """
    if found := [f"{name}: {text}" for name, text in mistakes(values)]:
        raise report("the settings", found)
    return Knobs(**{name: _stored(KNOBS[name], value) for name, value in values.items()})  # type: ignore[arg-type]


def changed(before: Knobs, values: Mapping[str, object]) -> tuple[Knobs, list[str]]:
    """Return ``before`` with ``values`` in place of its own, but for those that are wrong, and every mistake in them.

    What cannot change while traffic runs is a mistake, unless it is what it was.
    """
    known = {name: getattr(before, name) for name in KNOBS}
    wrong = list(mistakes({**known, **values}))
    for name, value in values.items():
        if name in KNOBS and not KNOBS[name].live and not _is_same(KNOBS[name], value, known[name]):
            wrong.append((name, "cannot change while traffic runs: make a new cluster with it"))
    good = values.keys() - {name for name, _ in wrong}
    after = replace(before, **{name: _stored(KNOBS[name], values[name]) for name in good})  # type: ignore[arg-type]
    return after, [f"{name}: {text}" for name, text in wrong]


def _is_same(knob: Knob, value: object, stored: object) -> bool:
    return value == stored or (knob.type == "list" and knob.check.accepts(value) and places(value) == stored)


def mistakes(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the name and the mistake for each knob in ``values`` that is unknown, wrong, or contradicts another."""
    wrong = {name: text for name, value in values.items() if (text := _mistake(name, value))}
    yield from wrong.items()
    for small, large in ORDERED:
        if not wrong.keys() & {small, large} and values.keys() & {small, large}:
            low, high = (cast(float, values.get(name, KNOBS[name].default)) for name in (small, large))
            if low > high:
                yield small, f"must not exceed {large}, which is {high}, not {low}"
    if values.get("address_map") and not values.get("discover") and not wrong.keys() & {"discover", "address_map"}:
        yield "address_map", "is for the members that discover finds: set discover as well, or leave it out"
    if values.get("patroni") and values.get("discover") != "patroni" and not wrong.keys() & {"discover", "patroni"}:
        yield "patroni", 'is for discover = "patroni": set that as well, or leave it out'
    yield from _guards_nothing(values, wrong.keys())
    yield from _without_zone(values, wrong.keys())
    if not wrong.keys() & {"local_threshold", "policy"} and values.get("local_threshold", THRESHOLD) != THRESHOLD:
        chosen = values.get("policy", KNOBS["policy"].default)
        if chosen != "nearest":
            yield "local_threshold", f'only policy "nearest" uses it, not {_policy_name(chosen)}'


def _guards_nothing(values: Mapping[str, Any], wrong: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the mistake of a commit guard that could never guard anything."""
    if values.get("commit_guard") is True and values.get("read_only") is True:
        yield "commit_guard", "a cluster that is only read has no COMMIT to guard: leave it out, or leave read_only out"
    if values.get("commit_guard_required") is True and not values.get("commit_guard") and "commit_guard" not in wrong:
        yield "commit_guard_required", "is for the commit guard: set commit_guard as well, or leave it out"


def _without_zone(values: Mapping[str, Any], wrong: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the mistake of what counts only where the program has a zone."""
    for name in ("zone_preference", "zone_map"):
        given = values.get(name, KNOBS[name].default) not in (KNOBS[name].default, {})
        if given and values.get("zone") is None and not {name, "zone"} & set(wrong):
            yield (
                name,
                'is for the zone that the program runs in: set zone as well, as in zone = "${ZONE}", or leave it out',
            )


NODE_KEYS = {"weight": "weighted", "priority": "priority"}
"""What stands at a node and counts under one policy only, or in a function of the user's."""


BALANCING = (*NODE_KEYS, "zone")
"""What stands at a node and says how much work it gets."""


def unused(policy: object, given: Collection[str], zone: object) -> Iterator[tuple[str, str]]:
    """Yield the key and the mistake for each of a node's ``given`` keys that would be ignored in silence: by
    ``policy``, or for want of the cluster's own ``zone``.
    """
    if "zone" in given and zone is None:
        yield (
            "zone",
            'the cluster has no zone to compare it with: set the cluster\'s zone too, as in zone = "${ZONE}" (it may'
            " be empty), or leave it out",
        )
    for key, name in NODE_KEYS.items():
        if key in given and isinstance(policy, str) and policy in POLICIES and policy != name:
            yield (
                key,
                f'only policy "{name}" uses it, not {_policy_name(policy)}: set the cluster\'s policy, or leave it out',
            )


def _policy_name(policy: object) -> str:
    return f'"{policy}"' if isinstance(policy, str) else "a function"


def _mistake(name: str, value: object) -> str | None:
    knob = KNOBS.get(name)
    return knob.check.complaint(value) if knob else f"no such knob; {nearest(name, KNOBS)}"


def _stored(knob: Knob, value: object) -> object:
    if knob.type == "table" and value is not None:
        return MappingProxyType(dict(cast("Mapping[str, str]", value)))
    if knob.check is ZONE and isinstance(value, str):
        return expanded(value)
    if knob.type == "list":
        return places(value)
    return float(cast(float, value)) if knob.type == "float" else value
