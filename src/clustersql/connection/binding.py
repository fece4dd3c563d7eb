"""Which session serves a handle now, for whom, and for how long: the binding.  No I/O; shared by both APIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.faults import Facts, Fault
from ..errors import ClusterError, OutcomeUnknown, PoolClosed, TransactionLost, bind

if TYPE_CHECKING:
    from ..config.options import Options
    from ..core.booking.shelf import Session
    from ..core.view.view import Want
    from ..drivers.contract import AnyDriver
    from ..nodes.topology import Topology
    from .statements import StatementCache


class Binding:
    """A handle's session, who asked for it and what bounds it.  `state.State` sets the fields, in one frame."""

    topology: Topology
    """What the cluster knows of its nodes."""
    driver: AnyDriver
    """The adapter of the cluster's driver."""
    options: Options
    """The caller's options, as they are within the innermost ``with conn.options(...)``."""
    want: Want
    """Which session the handle asks for: role, nodes, and the modes that it is set to."""
    notes: StatementCache
    """What is known of the statements that the cluster has seen."""
    site: tuple[CodeType, int, int]
    """Where it was checked out: the caller's code, the instruction in it, and by whom: the number of the thread, or
    that of the task's frame."""
    pool: Any
    """The pool that serves it, of the API for threads."""
    arguments: Mapping[str, Any] | None
    """The caller's own arguments for the driver, of a handle outside the pool; None: it is the pool's."""
    session: Session | None
    """The session that serves it.  None: it was given back, or has lost its session."""
    cursors: tuple[Any, ...]
    """Weak references to the cursors that were made on it."""
    alone: Any
    """The driver's cursor of a statement that is run without one of ours (`single`); not set: there is none."""
    number: int | None
    """The server's number of the session in which something passed us by first; another one later: the driver has
    replaced it."""
    given_back: bool
    """It is closed, or back in the pool, and can be used no more."""
    broken: BaseException | None
    """What is raised until the caller rolls back: a transaction that was lost stays lost."""
    deadline: float
    """When the whole operation must end, in monotonic seconds; 0.0: nothing bounds it."""
    patience: float
    """Seconds that each statement may take; 0.0: as long as it takes."""

    # Those below few connections ever have: a checkout must not pay for them, so until they are set they are the
    # class's.
    last_facts: Facts | None = None
    """What the error proves that recovery has ended with."""
    losses = 0
    """How many sessions were lost with a statement on its way."""
    moves: tuple[str, ...] = ()
    """The nodes of the sessions that it has lost, the latest last."""
    recoveries = 0
    """How many statements had failed and went on."""
    mode_known = False
    """The autocommit mode was asked of the first session, so that every later one is given it."""
    timed_out = False
    """Its latest error came of a deadline."""

    __slots__ = (
        "__dict__",
        "alone",
        "arguments",
        "broken",
        "cursors",
        "deadline",
        "driver",
        "given_back",
        "notes",
        "number",
        "options",
        "patience",
        "pool",
        "session",
        "site",
        "topology",
        "want",
    )

    @property
    def count(self) -> int:
        """How many statements of the open transaction were executed."""
        return self.session.count if self.session is not None else 0

    @property
    def closed(self) -> bool:
        """Whether the handle was given back, or came along in a fork."""
        return self.given_back or isinstance(self.broken, PoolClosed)

    def inherit(self) -> list[Any]:
        """In a forked child: the session is the parent's, and nothing may touch it here.  Return the driver's cursors
        on it.
        """
        raws = [cursor._raw for cursor in self.alive_cursors()]
        raws.append(getattr(self, "alone", None))
        self.session = None
        self.broken = self.error(
            PoolClosed, "this connection belongs to the parent process; check one out in this process"
        )
        for cursor in self.alive_cursors():
            cursor._forget()
        return raws

    def alive_cursors(self) -> list[Any]:
        """Return the cursors that somebody still holds."""
        return [cursor for ref in self.cursors if (cursor := ref()) is not None]

    def mode_is(self, autocommit: bool) -> None:
        """The session's autocommit mode is this; after a move it is set again."""
        self.mode_known = True
        want = self.want
        if want.autocommit is not autocommit:
            self.want = replace(want, autocommit=autocommit)

    def replaced(self) -> bool:
        """Whether what passed us by has put another session under this handle, in which nothing of the
        transaction is.
        """
        session, driver = self.session, self.driver
        if session is None or self.number is None or driver.is_closed(session.raw):
            return False
        return driver.session_id(session.raw) != self.number

    # -- errors --------------------------------------------------------------------------------------------------------

    def facts(self, error: BaseException) -> Facts:
        """Return what an error of the present session proves."""
        session = self.session
        assert session is not None
        facts = self.driver.facts(error, session.raw)
        node = self.topology.view.by_name.get(session.node)
        if node is not None and facts.errno in node.undoes and facts.fault is Fault.STATEMENT:
            return replace(facts, fault=Fault.ROLLED_BACK)
        return facts

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        if issubclass(kind, (TransactionLost, OutcomeUnknown)):
            node = self.session.node if self.session is not None else ""
            self.topology.events.note("outcome", node, f"{kind.__name__} on the connection from {self.place()}")
        return bind(kind, self.driver.operational_error)(text)

    def returned(self) -> ClusterError:
        """Return the error of a handle that is used after its end."""
        return self.error(
            PoolClosed, f"this connection of cluster {self.topology.name!r} was closed, or given back to the pool"
        )

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Stand in for a method of a handle that was given back: raise."""
        raise self.returned()

    def forgotten(self) -> str:
        """Return the warning about a handle that nobody gave back."""
        return f"a connection of cluster {self.topology.name!r}, checked out at {self.place()}, was never closed"

    def place(self) -> str:
        """Return where it was checked out, as ``file:line``."""
        code, instruction, _ = self.site
        line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
        return f"{code.co_filename}:{line or code.co_firstlineno}"

    def __repr__(self) -> str:
        if self.session is not None:
            return f"on {self.session.node}"
        return "closed" if self.closed else "lost"
