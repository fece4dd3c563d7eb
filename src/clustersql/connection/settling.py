"""`Database.settle`: an id that somebody has kept, and what may be asked for it.  Nothing here waits."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from ..config.checks import is_number
from ..core.guard.commit_id import CommitId, refusal
from ..core.guard.fate import Stage
from ..core.view.node import Epoch
from ..core.view.view import Service, Want
from ..errors import ConfigError, OutcomeUnknown, bind
from .guard import database_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.guard.resolve import Fence, Settled
    from ..nodes.topology import Topology


def terms(
    topology: Topology, asked: CommitId | None
) -> tuple[Callable[[], Epoch | None], Callable[[float], str] | None]:
    """Return what `resolve` is told: the newest history that is known, and whether an id of somebody else's may be
    asked; None: it is ours.
    """
    if asked is None:
        return (lambda: topology.view.epoch), None
    guard = topology.guard
    assert guard is not None

    def newest() -> Epoch | None:
        seen = topology.view.epoch
        if seen is None:  # no node has told its own yet
            return Epoch(asked.lineage, asked.epoch) if asked.epoch else None
        if seen.shared or asked.epoch <= seen.number or asked.lineage != seen.lineage:
            return seen
        return replace(seen, number=asked.epoch)  # somebody has seen a newer one

    return newest, lambda clock: refusal(asked, guard.table, topology.view.epoch, clock)


def asked_for(topology: Topology, commit_id: object, timeout: float | None) -> tuple[CommitId, Want, Fence, float]:
    """Return what `Database.settle` works with; the last is its deadline in monotonic seconds.  Raises `ConfigError`
    for what is no id.
    """
    guard = topology.guard
    if guard is None:
        raise ConfigError(f"cluster {topology.name!r} has no commit guard: set commit_guard=True")
    if timeout is not None and not (is_number(timeout) and 0 < timeout < 1e9):
        raise ConfigError(f"settle(): timeout must be a number of seconds above 0, not {timeout!r}")
    try:
        asked = CommitId.parse(commit_id)
    except ValueError as exc:
        raise ConfigError(f"settle(): {exc}") from None
    database = database_of(topology, next(iter(topology.addresses), ""))
    fence = guard.sql.fence(guard.commits(database), asked.token)
    seconds = topology.settings.timeout if timeout is None else timeout
    return asked, Want(Service.WRITE), fence, monotonic() + seconds


def told(topology: Topology, asked: CommitId, settled: Settled, base: type[BaseException]) -> str:
    """Return what `Database.settle` does: "committed" or "void".  Raises `ConfigError` where it may not be asked, or
    `OutcomeUnknown`.
    """
    if settled.stage is Stage.FRESH:
        raise ConfigError(f"settle(): this id cannot be settled on cluster {topology.name!r}: {settled.why}")
    if settled.stage is Stage.UNKNOWN:
        error = bind(OutcomeUnknown, base)(f"what became of the COMMIT could not be found out in time: {settled.why}")
        error.commit_id = str(asked)
        raise error
    return str(settled.stage.value)
