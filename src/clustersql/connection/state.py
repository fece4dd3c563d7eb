"""What is known of one connection handle: its session, its transaction, what keeps it from moving.  No I/O; shared by both APIs.

Rules
-----
1. ``session`` is the one place that says whether the handle is live.  It is None when the handle was given back, or lost its session.
2. What was executed since checkout is noted by its text (`core.statements.traits`): what leaves no state behind may move to another node.
3. A transaction that was lost stays lost (``broken``) until the caller rolls back, or the rest of it would run alone on a new session.
4. What was set by statements whose text tells all of it is in the ``ledger``, and is restored on the session of another node.
5. What passes us by (`unmanaged`) may have done anything: it pins the session, ends replayability, and the session is closed at its return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn

from ..config.pooler import one_by_one, refused
from ..core.faults import Facts, Fault
from ..core.recovery.transaction import NOTHING_OPEN, Transaction
from ..core.recovery.verdict import Phase, Situation, Standing
from ..core.statements.ledger import EMPTY
from ..core.statements.pins import Pin
from ..core.statements.traits import kept, several
from ..core.view.node import Role
from ..core.view.view import Want
from ..core.words import first_line
from ..errors import ClusterError, OutcomeUnknown, PoolClosed, TransactionLost, bind
from .rows import Spent, read_once

if TYPE_CHECKING:
    from ..config.options import Options
    from ..core.booking.shelf import Session
    from ..core.recovery.aftermath import Aftermath
    from ..core.statements.traits import Traits
    from ..drivers.contract import AnyDriver
    from ..nodes.topology import Topology
    from .borrowed import Borrowed
    from .statements import StatementCache

Callbacks = tuple[Callable[[], Any], ...]

WAITING = frozenset(("notifies()", "add_listener()", "add_notify_handler()"))
"""Calls of drivers that wait for notifications, or have somebody told of them, for as long as the connection lives."""

MOST_PINS = 16
"""Pins that are remembered: a loop must not fill the memory with what says the same."""

_READ_BEFORE = (
    "a former attempt of run has read rows from the same iterator, and what it gives now is not known to be all: give executemany a "
    "list, or make the iterator, and what it reads from, inside the function"
)


class State:
    """The bookkeeping of one handle.

    ``pins``: what left session state, and keeps the connection here.  ``ledger``: the settings that a new session is given.
    ``borrowed``: what was changed of the driver's own object, which is put back at the return.
    ``number``: the server's of the session in which something passed us by first; another one later: the driver has replaced it.
    ``unclean``: something was set, so that the session is reset at its return.  ``transaction``: the one that is open.
    ``committed``: something was committed since checkout.  ``broken``: raised until the caller rolls back.
    ``pool``: who serves it.  ``arguments``: the caller's own for the driver, of a handle outside the pool.  ``touched``: something may
    have been done on the session, so that there is something to commit or to undo.  ``spent``: the iterators that ``run``'s attempts have read.
    ``answered``: the driver's cursor whose further results may be unread.  ``whole``: each statement is read to its end at once.
    ``done``: its work has ended well and is committed, so that what breaks into the return of the connection is no failure of the work.
    ``cancelling``: how often the task had been asked to end before the latest statement that was noted, or COMMIT (asyncio).
    ``deadline`` (monotonic, of the whole operation) and ``patience`` (seconds, of each statement) bound it; 0.0: nothing does.
    """

    attempt = 1
    """Which call of ``run``'s function it is given to.  This and those below few connections ever have: a checkout must not pay for them,
    so until they are set they are the class's."""
    behind = False
    """A session was lost, and with it what its statements have left there for a later one to ask (LAST_INSERT_ID)."""
    blocks = 0
    """How many blocks of ours are open."""
    last_facts: Facts | None = None
    """What the error proves that recovery has ended with."""
    losses = 0
    """The sessions that were lost with a statement on its way."""
    mode_known = False
    """The autocommit mode was asked of the first session, so that every later one is given it."""
    timed_out = False
    """Its latest error came of a deadline."""

    __slots__ = (
        "__dict__",
        "answered",
        "arguments",
        "borrowed",
        "broken",
        "callbacks",
        "cancelling",
        "committed",
        "cursors",
        "deadline",
        "done",
        "driver",
        "given_back",
        "harmless",
        "ledger",
        "notes",
        "number",
        "options",
        "patience",
        "pins",
        "pool",
        "session",
        "site",
        "spent",
        "topology",
        "touched",
        "transaction",
        "unclean",
        "want",
        "whole",
    )

    def __init__(
        self,
        topology: Topology,
        driver: AnyDriver,
        options: Options,
        want: Want,
        notes: StatementCache,
        site: tuple[CodeType, int],
        pool: Any = None,
    ) -> None:
        self.topology = topology
        self.driver = driver
        self.options = options
        self.want = want
        self.notes = notes
        self.harmless: set[Any] = notes.proven if want.read_only else notes.plain
        self.site = site
        self.session: Session | None = None
        self.pool = pool
        self.arguments: Mapping[str, Any] | None = None
        self.spent: Spent | None = None
        self.whole = False
        self.answered: Any = None
        self.cancelling: int | None = None
        self.deadline = 0.0
        self.patience = 0.0
        self.pins: tuple[Pin, ...] = ()
        self.ledger = EMPTY
        self.borrowed: Borrowed | None = None
        self.number: int | None = None
        self.cursors: tuple[Any, ...] = ()
        self.callbacks: Callbacks = ()
        self.committed = self.done = self.given_back = self.touched = self.unclean = False
        self.transaction: Transaction = NOTHING_OPEN
        self.broken: BaseException | None = None

    # -- the session -----------------------------------------------------------------------------------------------------------------

    def hold(self, session: Session) -> None:
        """Work on ``session`` from now on."""
        self.session = session
        session.holder = self
        session.deadline, session.patience = self.deadline, self.patience
        if self.borrowed is not None:
            self.borrowed.carry(session.raw)

    def lose(self) -> Session | None:
        """The session is gone: return it.

        Until something is inserted on the next one, no statement but a proven read is known to be harmless there: it may ask for what
        the lost one alone has known.
        """
        session, self.session, self.answered = self.session, None, None
        self.behind, self.harmless = True, self.notes.proven
        return session

    def require_answerable(self, traits: Traits) -> None:
        """Raise for a statement that asks for what an earlier one has left in a session that is gone."""
        if traits.reads_session and self.behind:
            why = "the session was lost, and with it what this statement asks for, which an earlier one has left there"
            raise self.error(TransactionLost, f"{why}; take a new connection")

    @property
    def count(self) -> int:
        """How many statements of the open transaction were executed."""
        return self.session.count if self.session is not None else 0

    @property
    def movable(self) -> bool:
        """Whether the work may go on elsewhere: it is not pinned, and leaves nothing behind."""
        return self.want.movable and self.options.move and not self.pins

    @property
    def closed(self) -> bool:
        """Whether the handle was given back, or came along in a fork."""
        return self.given_back or isinstance(self.broken, PoolClosed)

    def require_revivable(self) -> None:
        """Raise what keeps a handle without a session from getting a new one."""
        if self.given_back:
            raise self.returned()
        if self.broken is not None:
            raise self.broken
        if not self.movable:
            why = "; ".join(map(str, self.pins)) or "pinned"
            raise self.error(TransactionLost, f"the session was lost with its state ({why}); take a new connection")

    def not_restored(self, why: Exception) -> ClusterError:
        """Return the error of a session whose settings no other one could be given."""
        return self.error(TransactionLost, f"the session was lost with its state ({why}); take a new connection")

    def inherit(self) -> list[Any]:
        """In a forked child: the session is the parent's, and nothing may touch it here.  Return the driver's cursors on it."""
        raws = [cursor._raw for cursor in self.alive_cursors()]
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

    def mode_changed(self) -> bool:
        """The caller has set the driver's autocommit mode; False: the driver cannot tell which it is."""
        session = self.session
        mode = self.driver.autocommit(session.raw) if session is not None else None
        if session is None or mode is None:
            return False
        # pg8000 and asyncpg send no BEGIN from now on; what was begun stays open all the same.
        if mode and session.count and not session.autocommit and self.driver.in_transaction(session.raw) is not False:
            self.transaction = replace(self.transaction, explicit=True)
        session.autocommit = mode
        self.mode_is(mode)
        return True

    def mode_commits(self) -> bool:
        """Whether the autocommit mode, turned on now, would commit what is open: then that is a COMMIT as any other."""
        session = self.session
        return (
            session is not None
            and self.driver.abilities.mode_commits
            and not session.autocommit
            and (self.has_work() or bool(self.callbacks))
        )

    # -- the transaction -------------------------------------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """Where the next statement stands."""
        session = self.session
        if (
            session is not None
            and session.autocommit
            and not self.transaction.explicit
            and self.driver.abilities.autocommit
        ):
            return Standing.NONE
        return Standing.LATER if self.count else Standing.FIRST

    def has_work(self) -> bool:
        """Whether a COMMIT has anything to do, or must say that it cannot."""
        session = self.session
        if session is None:
            return self.broken is not None and not self.given_back
        now = self.transaction
        return bool(session.count or self.pins or now.may_commit or now.undone or self.broken is not None)

    def leaves_reads_unread(self) -> bool:
        """Whether the transaction has provably only read, and something is unread: nothing is lost if it is cut off in place of a COMMIT."""
        session, driver = self.session, self.driver
        if (
            session is None
            or not session.read_only
            or self.transaction.unproven
            or self.transaction.refused is not None
        ):
            return False
        cursors = [cursor for cursor in self.alive_cursors() if cursor._session is session]
        return driver.unread(session.raw, [cursor._raw for cursor in cursors if cursor._raw is not None])

    def must_roll_back(self, session: Session) -> bool:
        """Whether a transaction may be open on ``session`` when it is given back."""
        return bool(session.count or self.transaction.may_commit) and self.transaction_mode(session)

    def may_be_open(self, session: Session) -> bool:
        """Whether there is something for a ROLLBACK: what pins the session may have opened a transaction that we did not see."""
        return self.transaction.explicit or not session.autocommit or bool(self.pins)

    @property
    def in_run(self) -> bool:
        """Whether ``run`` has called the function that works with it, or a block of ours is open: then all of it is one transaction."""
        return self.spent is not None or self.blocks > 0

    def transaction_mode(self, session: Session) -> bool:
        """Whether statements on ``session`` stand in a transaction."""
        return self.transaction.explicit or not session.autocommit or not self.driver.abilities.autocommit

    def prepare(self, operation: Any, many: bool) -> Traits:
        """Note what a statement may leave behind, before it is sent.  Raises `ConfigError` for what a shared session must not keep."""
        if operation.__class__ is not str:
            operation = self._text(operation)
        traits = self.notes.look(operation)
        if self.behind:
            self.require_answerable(traits)
        leaves = traits.leaves_state or traits.setting is not None
        if leaves and self.session is not None and self.session.shared:
            self._require_nothing_left(operation, self.session)
        if traits.rewinds and self.transaction.undone:
            raise self.undone()
        if leaves and self.session is not None and (before := getattr(self.driver, "before_change", None)):
            before(self.session.raw)
        standing = self.standing
        # SET autocommit = 1, where it is on already, does not end what BEGIN has begun.
        if traits.commits and traits.leaves_state and self.transaction.explicit:
            traits = replace(traits, commits=False)
        if standing is Standing.NONE:
            if many:
                traits = self._many(traits)
            if traits.begins:  # what was counted before stood alone, and is no part of it
                self._count_anew()
        now = self.transaction
        # By far the most statements change nothing; what writes matters only where reads are proven by a read-only session.
        if now is not NOTHING_OPEN or not traits.plain or (self.want.read_only and not traits.read):
            self.transaction = now.noted(traits, standing)
        if traits.leaves_state:
            self._pinned_by(operation, traits)
        elif traits.setting is not None:
            self.unclean = True
            if many:  # no program does that, and which of the values counts in the end is not worth finding out
                self.pin(self.notes.pin(operation))
        elif traits.rewinds and self.ledger.pending:
            self.pin(Pin("ROLLBACK TO SAVEPOINT", "it may have undone a setting"))
        return traits

    def _text(self, operation: Any) -> Any:
        """Return the text of a statement that was given in another form; itself where it cannot be told."""
        if isinstance(operation, str):
            return str.__str__(operation)
        try:
            if isinstance(operation, bytes | bytearray):
                return operation.decode()
            return self.driver.text(operation, self.session and self.session.raw) or operation
        except Exception:  # not composed as it should be: the driver says so in its own words
            return operation

    def _many(self, traits: Traits) -> Traits:
        """Return the traits of what is sent once per row in autocommit mode; to a session that is closed here nothing of it is sent at all."""
        many = self.notes.many(traits)
        return replace(many, many=False) if self.session and self.driver.is_closed(self.session.raw) else many

    def reads(self, rows: Any) -> None:
        """``executemany`` is about to read ``rows``, which are no list.  Raises `TransactionLost` where a former attempt of ``run`` has read of them."""
        if self.spent is None or self.spent.lasts(rows, self.attempt):
            return
        error = self.error(TransactionLost, _READ_BEFORE)
        self.transaction = self.transaction.ended_by(error)
        raise error

    def told(self, operation: Any, parameters: Any, traits: Traits | None, many: bool) -> Traits | None:
        """Return the traits of a statement that has failed, by which it is decided whether it is sent again."""
        return self.notes.told_once(operation, traits) if read_once(parameters, many) else traits

    def leaves_results(self, operation: Any, cursor: Any) -> bool:
        """Note that the driver's ``cursor`` may have further results of a statement.  Returns whether they are to be read at once."""
        if self.notes.look(operation).plain:
            return False
        self.answered = cursor
        return self.whole

    def _require_nothing_left(self, operation: Any, session: Session) -> None:
        left = kept(operation, self.notes.rules)
        if left:
            raise refused(session.node, left)
        if session.read_only and several(operation, self.notes.rules):
            raise one_by_one(session.node)

    def pin(self, pin: Pin) -> None:
        """From now on ``pin`` keeps the connection where it is, until it is given back."""
        if pin not in self.pins and len(self.pins) < MOST_PINS:
            self.pins += (pin,)

    def _pinned_by(self, operation: Any, traits: Traits) -> None:
        session, pin = self.session, self.notes.pin(operation)
        self.pin(pin)
        if session is None:
            return
        words = pin.what.lower()
        session.listening |= words.startswith("listen")
        session.tainted |= self.notes.outlasts(operation)
        # It may allow writes, and then nothing is proven to only read any more.
        if not traits.read and ("read" in words or "query_only" in words):
            session.read_only = None

    def after(self, traits: Traits) -> Callbacks:
        """A noted statement has succeeded.  Returns what is to be called, because it has committed."""
        if self.behind and (traits.inserts or traits.leaves_state):
            self.behind = False
            self.harmless = self.notes.proven if self.want.read_only else self.notes.plain
        if traits.plain:
            return ()
        if traits.setting is not None:
            undone = self.driver.dialect.settings_roll_back and self.standing is not Standing.NONE
            self.ledger = self.ledger.noted(traits.setting, undone)
        standing, ends = self.standing, traits.commits or traits.rolls_back
        callbacks = self.boundary(committed=traits.commits) if ends else ()
        if traits.commits and traits.leaves_state and self.session is not None:  # SET autocommit = 1
            self.session.autocommit = True
            self.mode_is(True)
        self.committed |= traits.may_commit and standing is Standing.NONE
        self.transaction = self.transaction.happened(traits, standing)
        return callbacks

    def failed(self) -> None:
        """A statement of the open transaction has failed."""
        self.ledger = self.ledger.broken()

    def ends_lost(self, operation: Any) -> bool:
        """Tell whether ``operation`` ends what is lost and needs no session for it: ROLLBACK as text.  COMMIT ends it too, and raises.

        Raises what keeps anything else from being executed.
        """
        if self.broken is None or self.closed:
            return False
        traits = self.notes.look(operation if operation.__class__ is str else self._text(operation))
        if not (traits.commits or traits.rolls_back) or traits.begins:  # AND CHAIN would begin another one
            raise self.broken
        error = self.broken
        self.forget_lost()
        if traits.commits:
            self.transaction = self.transaction.ended_by(error)
            raise error
        return self.session is None

    def forget_lost(self) -> None:
        """The caller has rolled back: what was lost, or failed, is past."""
        if self.broken is not None:
            self.broken = None
            self.harmless = self.notes.proven if self.want.read_only or self.behind else self.notes.plain
        self.boundary(committed=False)

    def break_off(self, error: BaseException) -> None:
        """The session lives on, but nothing more may be executed on it until the caller rolls back."""
        self.broken = error
        self.harmless = set()
        for cursor in self.alive_cursors():
            cursor._unbind()

    def uncommittable(self, ours: bool) -> BaseException | None:
        """Return the error in which a COMMIT ends without being sent; None: it may be sent.  The one gate before every COMMIT.

        ``ours``: we issue it, for ``run`` or at the end of a block, so that nothing is left out of what the caller meant as a whole.
        """
        session = self.session
        if self.broken is not None or session is None:
            return self.broken
        if ours and self.transaction.undone:
            return self.undone()
        return self.failed_commit() if self.driver.failed_transaction(session.raw) else None

    def doubtful_commit(self) -> None:
        """Nobody knows whether the transaction was committed, nor whether what it has set holds."""
        if self.ledger.pending:
            self.pin(Pin("COMMIT", "its outcome is unknown, and with it what was set before"))

    def boundary(self, committed: bool) -> Callbacks:
        """A transaction has ended; a new one begins with the next statement.  Returns what is to be called, if it was committed."""
        session, count = self.session, 0
        if session is not None:
            count, session.count = session.count, 0
            session.statements += count
        if committed and (count or self.transaction.may_commit or self.callbacks):
            self.committed = True
        self.transaction = NOTHING_OPEN
        if self.ledger is not EMPTY:
            self.ledger = self.ledger.ended(committed)
        callbacks, self.callbacks = self.callbacks, ()
        return callbacks if committed else ()

    def _count_anew(self) -> None:
        session = self.session
        if session is not None:
            session.statements += session.count
            session.count = 0

    def unmanaged(self, name: str) -> None:
        """Something passes us by: the session may be in any state, and its transaction may have been committed."""
        self.pin(Pin(name, "the driver's own, which passes us by"))
        self.touched, self.transaction = True, self.transaction.unmanaged()
        if self.session is not None:
            self.session.tainted = True
            self.session.listening |= name in WAITING
            if self.number is None:
                self.number = self.driver.session_id(self.session.raw)

    def replaced(self) -> bool:
        """Whether what passed us by has put another session under this handle, in which nothing of the transaction is."""
        session, driver = self.session, self.driver
        if session is None or self.number is None or driver.is_closed(session.raw):
            return False
        return driver.session_id(session.raw) != self.number

    # -- errors ----------------------------------------------------------------------------------------------------------------------

    def facts(self, error: BaseException) -> Facts:
        """Return what an error of the present session proves."""
        session = self.session
        assert session is not None
        facts = self.driver.facts(error, session.raw)
        node = self.topology.view.by_name.get(session.node)
        if node is not None and facts.errno in node.undoes and facts.fault is Fault.STATEMENT:
            return replace(facts, fault=Fault.ROLLED_BACK)
        return facts

    def apply(self, after: Aftermath, error: BaseException) -> None:
        """An operation has ended with ``error``: leave the handle as that says."""
        if after.facts is not None:
            self.last_facts = after.facts
        self.timed_out = after.timed_out
        if after.fails:
            self.failed()
        if after.doubtful:
            self.doubtful_commit()
        if after.ends:
            self.boundary(committed=False)
        if after.counts and self.session is not None:
            self.session.count += 1
        if after.broken and self.session is not None:
            self.break_off(error)
        elif after.broken:
            self.broken = error
        if after.refused:
            self.transaction = self.transaction.ended_by(error, after.undone)

    def situation(self, error: BaseException, phase: Phase, traits: Traits | None) -> Situation:
        """Return everything that the verdict on ``error`` depends on.  ``traits`` None: the statement leaves nothing behind."""
        session = self.session
        assert session is not None
        node = self.topology.view.by_name.get(session.node)
        declared = False
        if phase is Phase.COMMIT:
            proven = (bool(session.read_only) and not self.transaction.unproven) or session.count == 0
        else:
            read = bool(session.read_only) and (traits is None or traits.read)
            declared = self.options.idempotent and not read
            proven = read or declared or (traits is not None and (traits.begins or traits.setting is not None))
        facts, standing, may_commit = self.facts(error), self.standing, self.transaction.may_commit
        if traits is not None and traits.many:  # that is said of the latest row
            facts = replace(facts, not_sent=False)
        # EXECUTE of the caller's own PREPARE: the plan is the caller's to renew.
        if facts.fault is Fault.STALE_PLAN and traits is not None and traits.leaves_state:
            facts = replace(facts, fault=Fault.STATEMENT)
        if standing is Standing.NONE and self.pins and not facts.lost and self._may_be_open(session):
            standing, may_commit = Standing.LATER, True
        return Situation(
            facts=facts,
            phase=phase,
            transaction=standing,
            proven=proven,
            declared=declared,
            may_commit=may_commit,
            movable=self.movable and not (traits is not None and traits.reads_session),
            read_only=bool(session.read_only),
            on_replica=node is not None and node.role is Role.REPLICA,
            timed_out=session.timed_out,
            repeatable=traits is None or not traits.once,
            rollback_ends=self.driver.dialect.rollback_ends,
        )

    def _may_be_open(self, session: Session) -> bool:
        """Whether what pins the session may have opened a transaction in autocommit mode: ``SET autocommit = 0``, a procedure.

        Then a deadlock has undone more than the last statement, and running only that one again would commit a part.
        """
        return self.driver.in_transaction(session.raw) is not False

    def error(self, kind: type[ClusterError], text: str) -> ClusterError:
        """Return one of our errors as an instance of the driver's ``OperationalError`` too."""
        if issubclass(kind, (TransactionLost, OutcomeUnknown)):
            node = self.session.node if self.session is not None else ""
            self.topology.events.note("outcome", node, f"{kind.__name__} on the connection from {self.place()}")
        return bind(kind, self.driver.operational_error)(text)

    def undone(self) -> ClusterError:
        """Return the error of what needs the transaction that the server has rolled back, from the error by which it said so."""
        cause = self.transaction.refused
        what = first_line(cause) if cause is not None else "its own rollback"
        error = self.error(TransactionLost, f"the server has rolled the whole transaction back, run it again ({what})")
        error.__cause__ = cause
        return error

    def failed_commit(self) -> ClusterError:
        """Return the error of a COMMIT that the server would answer with a silent rollback."""
        why = (
            "an earlier statement of this transaction failed, so the server would roll it back instead of committing it"
        )
        return self.error(TransactionLost, why)

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
        code, instruction = self.site
        line = next((line for start, end, line in code.co_lines() if start <= instruction < end), None)
        return f"{code.co_filename}:{line or code.co_firstlineno}"

    def __repr__(self) -> str:
        if self.session is not None:
            return f"on {self.session.node}"
        return "closed" if self.closed else "lost"


def passing(state: State, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of the driver that is forwarded; calling it is noted, looking at it is not."""

    def passed(*args: Any, **kwargs: Any) -> Any:
        state.unmanaged(f"{name}()")
        return function(*args, **kwargs)

    passed.__name__ = name
    return passed
