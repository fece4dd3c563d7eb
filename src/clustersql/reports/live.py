"""What a screen shows of one cluster: one line per node, worked out of two moments, so that counts become rates.

Pure: from what `Cluster.snapshot`, `metrics` and `events` tell, as dictionaries ready for JSON; so the same lines come
of a cluster of this process, and of one that another process tells of over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..core.view.freshness import max_lag
from .values import Snapshot

SHOWN = 200
"""Events that are told, the latest."""
LATE = 10.0
"""Seconds behind from which a replica is marked, where the cluster has no `max_lag` of its own."""
WELL, WARN, ILL = "well", "warn", "ill"
"""How a line or a cluster is marked."""
WORDS = {WELL: "healthy", WARN: "degraded", ILL: "unavailable"}
"""How a cluster is called that is marked so."""
LOUD = {"timeout": ILL, "outcome": ILL, "held": WARN, "recovery": WARN}
"""How an event of a kind is marked; one of a node by what became of it."""
LONG = 10.0
"""Seconds from which a holder is marked."""

State = Mapping[str, Any]


def state(snapshot: Snapshot, figures: Mapping[str, Any], events: Iterable[Any]) -> dict[str, Any]:
    """Return what a cluster tells at one moment, ready for JSON."""
    latest = tuple(events)[-SHOWN:]
    return {
        "snapshot": snapshot.as_dict(),
        "figures": dict(figures),
        "events": [{"at": each.at, "kind": each.kind, "node": each.node, "text": each.text} for each in latest],
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One node."""

    node: str
    """Its name."""
    role: str
    """``primary``, ``replica`` or ``unknown``."""
    state: str
    """Whether it serves, in a word."""
    since: str
    """Since when, as a time of day in UTC."""
    why: str
    """Why, in words; "": nobody has said."""
    share: float
    """Its part of the checkouts since the moment before, from 0 to 1."""
    rate: float
    """Checkouts per second since then."""
    response: float | None
    """The estimate of what a statement takes there, in seconds; None: there is none yet."""
    in_flight: int
    """Connections in use."""
    idle: int
    """Connections that are idle."""
    lag: float | None
    """By how many seconds it is behind, at most; None: not known."""
    epoch: str
    """The history that its data belong to; "": not told."""
    last_error: str
    """The latest error that was met there; "": none."""
    level: str
    """`WELL`, `WARN` or `ILL`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One cluster."""

    cluster: str
    """Its name."""
    level: str
    """`WELL`, `WARN` or `ILL`."""
    words: str
    """How it is, in a sentence."""
    rate: float
    """Checkouts per second."""
    in_flight: int
    """Connections in use, over all pools."""
    size: int
    """Connections that are open."""
    most: int
    """The most connections there may be."""
    waiting: int
    """Callers who wait for a connection."""
    retries_left: float
    """How many retries the budget still allows."""


def lines(now: State, before: State | None = None) -> list[Line]:
    """Return a line for each node.  ``before``: an earlier state of the same cluster; None: rates are 0."""
    told, figures = now["snapshot"], now["figures"]["Nodes"]
    rates = _rates(now, before)
    total = sum(rates.values())
    late = _late(told["knobs"].get("max_lag"))
    return [
        _line(node, figures.get(node["name"], {}), rates.get(node["name"], 0.0), total, late) for node in told["nodes"]
    ]


def summary(now: State, before: State | None = None) -> Summary:
    """Return how the cluster is."""
    told, pools = now["snapshot"], now["snapshot"]["pools"]
    sizes = [pool["sizes"] for pool in pools]
    level, words = _judged(told, sum(each["waiting"] for each in sizes))
    return Summary(
        told["cluster"],
        level,
        words,
        sum(_rates(now, before).values()),
        sum(each["in_flight"] for each in sizes),
        sum(each["size"] for each in sizes),
        sum(each["max_size"] for each in sizes),
        sum(each["waiting"] for each in sizes),
        told["budget"]["left"],
    )


def holders(now: State) -> list[Mapping[str, Any]]:
    """Return who has a connection, over all pools, the oldest first."""
    found = [each for pool in now["snapshot"]["pools"] for each in pool["holders"]]
    return sorted(found, key=lambda each: -each["seconds"])


def loudness(kind: str, text: str) -> str:
    """Return how an event is marked: `WELL`, `WARN`, `ILL`, or "" where it is neither good nor bad news."""
    if kind != "node" or not text.startswith("is "):
        return LOUD.get(kind, "")
    if text.startswith("is up"):
        return WELL if ", ready" in text and "outdated" not in text else WARN
    return ILL if text.startswith("is down") else WARN


def place_of(site: str) -> str:
    """Return the end of ``file:line``, as much as a person needs: ``app/orders.py:88``."""
    return "/".join(site.split("/")[-2:])


def clock(moment: str, now: datetime) -> str:
    """Return a moment (ISO 8601) as the time of day, with the day where it is not that of ``now``; "-" for ""."""
    if not moment:
        return "-"
    when = datetime.fromisoformat(moment)
    return f"{when:%H:%M:%S}" if when.date() == now.date() else f"{when:%d %b %H:%M}"


def _judged(told: Mapping[str, Any], waiting: int) -> tuple[str, str]:
    wanted = told["wanted"]
    serving = [node["name"] for node in told["nodes"] if wanted in node["serves"]]
    out = [node["name"] for node in told["nodes"] if node["kept_out"]]
    if not serving:
        return ILL, f"no node can serve as {'a primary' if wanted == 'primary' else 'a ready node'}"
    words = f"{', '.join(serving)} can serve as {wanted}" if wanted == "primary" else f"{len(serving)} nodes can serve"
    if out:
        return WARN, f"{words}; kept out: {', '.join(out)}"
    if waiting:
        return WARN, f"{words}; {waiting} waiting for a connection"
    return WELL, f"{words}; all nodes are well"


def _line(node: Mapping[str, Any], figures: Mapping[str, Any], rate: float, total: float, late: float) -> Line:
    out, lag = node["kept_out"], node["lag"]
    word = node["state"] if node["state"] != "up" else node["readiness"]
    if node["state"] == "up" and out:
        word = out[0]["value"]
    axis = out[0] if out else None
    since = axis["since"] if axis else next((each["since"] for each in node["axes"]), "")
    behind = lag is not None and lag > late
    return Line(
        node["name"],
        node["role"],
        word,
        since,
        (axis["why"] if axis else "") or ("" if not out else node["why"]),
        rate / total if total else 0.0,
        rate,
        # Of a node that is out the estimate is the penalty of its failure, and no time that anybody measured.
        (figures.get("Ewma") or None) if node["state"] == "up" else None,
        figures.get("InFlight", 0),
        figures.get("Idle", 0),
        lag,
        node["epoch"],
        " ".join(node["last_error"].split()),
        ILL if node["state"] == "down" else WARN if out or behind or node["state"] != "up" else WELL,
    )


def _rates(now: State, before: State | None) -> dict[str, float]:
    """Return the checkouts per second, by node; a cluster that was begun anew meanwhile counts from 0."""
    if before is None:
        return {}
    seconds = _seconds(now) - _seconds(before)
    if seconds <= 0:
        return {}
    earlier = before["figures"]["Nodes"]
    return {
        name: max(0, each.get("Checkouts", 0) - earlier.get(name, {}).get("Checkouts", 0)) / seconds
        for name, each in now["figures"]["Nodes"].items()
    }


def _seconds(told: State) -> float:
    return datetime.fromisoformat(told["snapshot"]["at"]).timestamp()


def _late(bound: float | str | None) -> float:
    seconds = None if bound is None else max_lag(bound).seconds
    return LATE if seconds is None else seconds
