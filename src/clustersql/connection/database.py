"""What the databases of both APIs have in common: the options of a view, and the views that are made of it.  Nothing
here waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..config.knobs import Knobs
from ..config.options import Options, memory_of
from ..config.percall import PerCall
from ..core.causal.after import Remembers
from ..nodes.topology import Topology
from ..pool.memory import remembering

if TYPE_CHECKING:
    from ..pool.base import BasePool

D = TypeVar("D", bound="BaseDatabase")


class BaseDatabase:
    """The part of `sync.database.Database` and `aio.database.Database` that is the same."""

    __slots__ = ("_calls", "_given", "_knobs", "_known", "_options", "_single", "_topology", "_want")

    _known: Set[Any] | None
    """The texts that `execute` runs on a session itself; None: not looked up yet."""

    def __init__(self, topology: Topology, given: Mapping[str, Any]) -> None:
        """``given``: the options that the caller has set; the others are the cluster's, as they are now."""
        self._topology = topology
        self._given = given
        self._knobs: Knobs | None = None
        self._look()

    def _like(self, given: Mapping[str, Any]) -> Self:
        """Return a view of the same database with these options."""
        raise NotImplementedError

    def _learn(self) -> None:
        """Look up what depends on the options, which have just been set."""
        self._known = None

    def _look(self) -> None:
        """Take over the cluster's knobs as they are now."""
        if self._knobs is not (knobs := self._topology.settings):
            self._options = options = Options.under(knobs, self._given)
            self._want = options.want(autocommit=False)
            self._single = options.want(autocommit=True)
            self._learn()
            self._calls = PerCall(options, self._topology.check)
            self._knobs = knobs

    def options(
        self,
        *,
        timeout: float | None = None,
        read_only: bool | None = None,
        idempotent: bool | None = None,
        node: str | None = None,
        role: str | None = None,
        move: bool | None = None,
        max_lag: float | str | None = None,
        after: str | None = None,
        keep: float | None = None,
    ) -> Self:
        """Return a view of this database with other settings; this one is left as it is.

        ``timeout``: seconds for an operation as a whole: choosing, dialling, waiting, the statement and its recovery.
        ``read_only``: any ready node may serve, and the server refuses writes.  ``idempotent``: running a statement
        twice does no harm.  ``node``, ``role`` ("primary", "replica", "any",
        "prefer-replica": a replica as long as one serves) and ``move=False`` pin the work.
        ``max_lag``: how far behind a replica may be, in seconds, or as a size of its log ("16MB").  ``after``: the
        bookmark that a read must have seen ("": none), as `bookmark` has told it.  ``keep``: for how many seconds
        `once` keeps a key, 7 days if nothing is said.  Raises `ConfigError` naming every mistake.
        """
        given = {
            "timeout": timeout,
            "read_only": read_only,
            "idempotent": idempotent,
            "node": node,
            "role": role,
            "move": move,
            "max_lag": max_lag,
            "after": after,
            "keep": keep,
        }
        given = {name: value for name, value in given.items() if value is not None}
        self._look()
        self._topology.check(self._options.changed(**given))
        return self._like({**self._given, **given})

    def causal(self, after: str = "", *, strict: bool = True) -> Self:
        """Return a view that reads what was written through it, on any node; each has a memory of its own, so make one
        per request.

        Reads go to replicas with ``read_only=True``, as ever: to one that is known to have what this view has written;
        else to one that is asked and waited for, `causal_wait` seconds at most; else to the primary.  ``after``: the
        `bookmark` of another view, of another process too.  What cannot be read any more, as a write that a failover
        has lost, is `CausalityLost`.  Raises `ConfigError` for what is no bookmark, and where the database tells no
        positions.  ``strict`` False: an ``after`` that is no bookmark, or is lost, is no error but a read of the
        primary, and is counted: for what comes from a browser.
        """
        self._look()
        memory, wrong = remembering(after, strict)
        self._topology.causal["refused"] += wrong
        self._topology.check(replace(self._options, after=None, memory=memory))
        return self._like({**self._given, "after": "", "memory": memory})

    def _remembered(self, pool: BasePool[Any]) -> tuple[Remembers, float]:
        """Return the memory of this view, and until when to ask for what it lacks, in monotonic seconds.  Raises
        `ConfigError` where it has none.
        """
        wait = pool.timeout if self._options.timeout is None else self._options.timeout
        return memory_of(self._options), monotonic() + wait

    def _deadline(self) -> float:
        """When an operation that begins now must end, in monotonic seconds; 0.0: only its waiting is bounded, by the
        cluster's timeout.
        """
        timeout = self._options.timeout
        return 0.0 if timeout is None else monotonic() + timeout


def memory_behind(view: BaseDatabase) -> tuple[object, Remembers]:
    """Return of whom a causal view is, for `sharing`, and its memory.  Raises `ConfigError` for another view."""
    return view._topology, memory_of(view._options)


def sharing(database: D, of: object, memory: Remembers) -> D:
    """Return ``database`` with the memory of a causal view of the same cluster; as it is, beside another cluster's."""
    return database if database._topology is not of else database._like({**database._given, "memory": memory})
