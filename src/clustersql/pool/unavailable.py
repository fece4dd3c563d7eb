"""Why there is no connection: in words for a person, and as the error that the caller gets."""

from __future__ import annotations

import time

from ..core.booking.book import Book
from ..core.booking.opening import GaveUp
from ..core.booking.shelf import Waiter
from ..core.view.obstacles import behind, too_far_behind
from ..core.view.view import Service, View
from ..core.words import in_one_line
from ..errors import ClusterError, NoNodeAvailable, PoolTimeout, bind
from ..nodes.topology import Topology
from .holders import oldest


def unfit(view: View, name: str, waiter: Waiter | None) -> ClusterError | None:
    """Return why a connection to ``name`` does not suit the waiter who asked for it; None: it does, or nobody asked.

    The node turned out to be a replica, say: that is known only once it has answered.
    """
    if waiter is None or name in view.eligible(waiter.want):
        return None
    node = view.by_name.get(name)
    what = f"is {node.role.value}, {node.readiness.value}" if node else "was removed"
    if node and (lag := behind(view, node, waiter.want.max_lag, time.monotonic())):
        what += f", {lag}"
    return ClusterError(f"node {name!r} answered, but {what}{f' ({node.why})' if node and node.why else ''}")


def none_to_be_had(
    topology: Topology,
    book: Book,
    operational_error: type[BaseException],
    outcome: GaveUp,
    waiter: Waiter,
    seconds: float,
) -> ClusterError:
    """Return the error for a caller who waited for ``seconds``: `PoolTimeout` when there were too few connections, else
    `NoNodeAvailable`.

    It carries every node's own error, the latest as its cause, and is an instance of ``operational_error`` too.  What a
    function of the program's has raised is the cause before all others: nothing is wrong with that node.
    """
    name, errors, want = topology.name, {**topology.latest, **outcome.errors}, waiter.want
    busy = book.in_flight and book.total >= book.max_size
    if busy and outcome.plan and not outcome.errors and not outcome.silent:
        held = oldest(book)
        text = (
            f"no connection of cluster {name!r} became free within {seconds:.1f} s: "
            f"{book.in_flight} of {book.max_size} in use{f'; oldest: {held}' if held is not None else ''}"
        )
        return bind(PoolTimeout, operational_error)(text)
    stale = too_far_behind(topology.view, want, time.monotonic())
    errors |= {node: ClusterError(why) for node, why in stale.items()}
    for node in outcome.silent:
        errors[node] = TimeoutError(f"node {node!r} has not answered yet")
    if not topology.addresses:
        return bind(NoNodeAvailable, operational_error)(f"cluster {name!r} has no nodes; add_node() one")
    wanted = (
        f"node {want.node!r}"
        if want.node
        else {Service.WRITE: "a primary", Service.REPLICA: "a replica"}.get(want.service, "a ready node")
    )
    raised = {node: (who, error) for node, (who, error) in waiter.raised.items() if errors.get(node) is error}
    told = "; ".join(
        f"{node}: {f'{raised[node][0]} raised {type(one).__name__}: ' if node in raised else ''}"
        f"{topology.redacted(node, in_one_line(one))}"
        for node, one in errors.items()
    )
    text = f"cluster {name!r}: {wanted} could not be had within {seconds:.1f} s{': ' + told if told else ''}"
    error = bind(NoNodeAvailable, operational_error)(text, errors)
    error.__cause__ = (
        [one for _, one in raised.values()][-1] if raised else list(errors.values())[-1] if errors else None
    )
    return error
