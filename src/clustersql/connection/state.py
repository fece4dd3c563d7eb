"""What is known of one connection handle: its session, its transaction, what keeps it from moving.  No I/O; shared by
both APIs.

Rules
-----
1. ``session`` is the one place that says whether the handle is live (`binding`).  It is None when the handle was given
   back, or lost its session.
2. What was executed since checkout is noted by its text (`core.statements.traits`): what leaves no state behind may
   move to another node.
3. A transaction that was lost stays lost (``broken``) until the caller rolls back, or the rest of it would run alone on
   a new session (`work`).
4. What was set by statements whose text tells all of it is in the ``ledger``, and is restored on the session of another
   node (`carried`).
5. What passes us by (`unmanaged`) may have done anything: it pins the session, ends replayability, and the session is
   closed at its return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import CodeType
from typing import TYPE_CHECKING, Any

from ..core.faults import Fault
from ..core.recovery.transaction import NOTHING_OPEN
from ..core.recovery.verdict import Phase, Situation, Standing
from ..core.statements.ledger import EMPTY
from ..core.statements.left import Left
from ..core.statements.pins import Pin
from ..core.view.node import Role
from ..core.view.view import Want
from ..errors import TransactionLost
from .guard import watch
from .rows import read_once, used_up
from .work import Callbacks, Work

if TYPE_CHECKING:
    from ..config.options import Options
    from ..core.booking.shelf import Session
    from ..core.recovery.aftermath import Aftermath
    from ..core.statements.traits import Traits
    from ..drivers.contract import AnyDriver
    from ..nodes.topology import Topology
    from .statements import StatementCache

_READ_BEFORE = (
    "a former attempt of run has read rows from the same iterator, and what it gives now is not known to be all: give"
    " executemany a list, or make the iterator or open the file, and what it reads from, inside the function"
)


class State(Work):
    """The bookkeeping of one handle: each statement is noted before it is sent, and after its end; what an error means
    is told from that.

    What its fields say stands in `Binding`, `Carried` and `Work`.
    """

    whole: bool
    """Each statement is read to its end at once."""

    __slots__ = ("whole",)

    def __init__(
        self,
        topology: Topology,
        driver: AnyDriver,
        options: Options,
        want: Want,
        notes: StatementCache,
        site: tuple[CodeType, int, int],
        pool: Any = None,
    ) -> None:
        self.topology = topology
        self.driver = driver
        self.options = options
        self.want = want
        self.notes = notes
        self.harmless = notes.proven if want.read_only or topology.guard is not None else notes.plain
        self.site = site
        self.session = None
        self.pool = pool
        self.arguments = None
        self.spent = None
        self.whole = False
        self.answered = None
        self.cancelling = None
        self.deadline = 0.0
        self.patience = 0.0
        self.pins = ()
        self.ledger = EMPTY
        self.borrowed = None
        self.number = None
        self.cursors = ()
        self.callbacks = ()
        self.committed = self.done = self.given_back = self.touched = self.unclean = False
        self.transaction = NOTHING_OPEN
        self.broken = None

    # -- statements ----------------------------------------------------------------------------------------------------

    def prepare(self, operation: Any, many: bool) -> Traits:
        """Note what a statement may leave behind, before it is sent.  Raises `ConfigError` for what a shared session
        must not keep.
        """
        if operation.__class__ is not str:
            operation = self._text(operation)
        traits = self.notes.look(operation)
        if self.session is not None:
            self.session.statement = operation
        if self.behind is not None:
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
        guarded = self.topology.guard is not None
        # By far the most statements change nothing; what writes matters only where reads are proven by a read-only
        # session, or to the guard.
        if now is not NOTHING_OPEN or not traits.plain or ((self.want.read_only or guarded) and not traits.read):
            self.transaction = now.noted(traits, standing)
        if guarded and operation.__class__ is str and operation not in self.notes.keeping:
            watch(self, operation)
        if traits.leaves_state:
            self._pinned_by(operation, traits)
        elif traits.setting is not None:
            self.unclean = True
            if many:  # no program does that, and which of the values counts in the end is not worth finding out
                self.pin(self.notes.pin(operation))
        elif traits.rewinds and self.ledger.pending:
            self.pin(Pin("ROLLBACK TO SAVEPOINT", "it may have undone a setting"))
        return traits

    def question(self, operation: Any) -> str:
        """Return the question whether what ``operation`` asks for was generated on this session; empty: that is known,
        or cannot be asked.
        """
        if not self.unsure or self.behind is None:
            return ""
        traits = self.notes.look(operation if operation.__class__ is str else self._text(operation))
        # Asked together with ROW_COUNT(), which our question would change.
        return self.driver.dialect.generated if traits.asks is Left.GENERATED else ""

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
        """Return the traits of what is sent once per row in autocommit mode; to a session that is closed here nothing
        of it is sent at all.
        """
        many = self.notes.many(traits)
        return replace(many, many=False) if self.session and self.driver.is_closed(self.session.raw) else many

    def reads(self, rows: Any) -> None:
        """``executemany`` is about to read ``rows``, which are no list.  Raises `TransactionLost` where a former
        attempt of ``run`` has read of them.
        """
        if self.spent is None or self.spent.lasts(rows, self.attempt):
            return
        error = self.error(TransactionLost, _READ_BEFORE)
        self.transaction = self.transaction.ended_by(error)
        raise error

    def reads_options(self, options: Mapping[str, Any]) -> None:
        """``execute`` is about to be given ``options`` of the driver's; as `reads`, for those that it may use up."""
        for one in used_up(options):
            self.reads(one)

    def told(
        self, operation: Any, parameters: Any, options: Mapping[str, Any], traits: Traits | None, many: bool
    ) -> Traits | None:
        """Return the traits of a statement that has failed, by which it is decided whether it is sent again."""
        once = read_once(parameters, many) or used_up(options)
        return self.notes.told_once(operation, traits) if once else traits

    def leaves_results(self, operation: Any, cursor: Any) -> bool:
        """Note that the driver's ``cursor`` may have further results of a statement.  Returns whether they are to be
        read at once.
        """
        if self.notes.look(operation).plain:
            return False
        self.answered = cursor
        return self.whole

    def after(self, traits: Traits) -> Callbacks:
        """A noted statement has succeeded.  Returns what is to be called, because it has committed."""
        if self.behind is not None:
            self._left(traits.renews)
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

    def ends_lost(self, operation: Any) -> bool:
        """Tell whether ``operation`` ends what is lost and needs no session for it: ROLLBACK as text.  COMMIT ends it
        too, and raises.

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

    # -- errors --------------------------------------------------------------------------------------------------------

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
        """Return everything that the verdict on ``error`` depends on.  ``traits`` None: the statement leaves nothing
        behind.
        """
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
            movable=self.movable and not (traits is not None and traits.asks),
            read_only=bool(session.read_only),
            on_replica=node is not None and node.role is Role.REPLICA,
            timed_out=session.timed_out,
            repeatable=traits is None or not traits.once,
            rollback_ends=self.driver.dialect.rollback_ends,
        )

    def _may_be_open(self, session: Session) -> bool:
        """Whether what pins the session may have opened a transaction in autocommit mode: ``SET autocommit = 0``, a
        procedure.

        Then a deadlock has undone more than the last statement, and running only that one again would commit a part.
        """
        return self.driver.in_transaction(session.raw) is not False


def passing(state: State, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of the driver that is forwarded; calling it is noted, looking at it is not."""

    def passed(*args: Any, **kwargs: Any) -> Any:
        state.unmanaged(f"{name}()")
        return function(*args, **kwargs)

    passed.__name__ = name
    return passed
