"""What both APIs know of a guarded COMMIT: its token, what an error of it proves, and what is said in the end.  Nothing
here waits.

Rules
-----
1. A token belongs to one transaction of one handle, and is made when it is first needed: at COMMIT, or when its id is
   asked for.
2. It counts from the moment at which its INSERT may have reached the server: before that, a lost connection has
   committed nothing.
3. After the outcome is found out, the row stays: somebody else may be asking for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.faults import Facts, Fault
from ..core.guard.commit_id import BYTES, CommitId
from ..core.guard.fate import Stage
from ..core.guard.way import Case, Way, way
from ..core.recovery.recover import Lost
from ..core.recovery.verdict import Phase, Standing, Verdict
from ..core.view.view import Service, Want
from ..core.words import note
from ..errors import ClusterError, ConfigError, TransactionLost

if TYPE_CHECKING:
    from ..core.booking.shelf import Session
    from ..core.guard.resolve import Fence, Settled
    from ..nodes.guard import CommitGuard
    from ..nodes.topology import Topology
    from .state import State

BLANK = bytes(BYTES).hex()
"""Stands for a token in a text that is worked out once."""

VOID = "a primary was asked, and nothing of the transaction has happened: run it again"
REFUSED = (
    "the commit guard's token was refused, so nothing of the transaction has happened; "
    "the next one goes unguarded: run it again"
)
OUTDATED = (
    "a newer primary has taken over since the commit id was handed out, so the id could not be settled; "
    "nothing of the transaction has happened: run it again"
)
TAKEN = (
    "its commit id was settled before it was committed, so nothing of it has happened, and it never will: run it again"
)


class Token:
    """The token of one transaction."""

    __slots__ = ("exported", "fold", "id", "sent", "value")

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.id = ""
        """The text by which it is settled; "": nobody has needed it."""
        self.exported = False
        """Its id was handed out before COMMIT."""
        self.sent = False
        """The server may have its row."""
        self.fold = ""
        """The text that writes it and commits; "": it has a round trip of its own."""


def guard_of(state: State) -> CommitGuard:
    """Return the cluster's guard.  Raises `ConfigError` where there is none."""
    guard = state.topology.guard
    if guard is None:
        raise ConfigError(f"cluster {state.topology.name!r} has no commit guard: set commit_guard=True")
    return guard


def token_of(state: State, guard: CommitGuard) -> Token:
    """Return the open transaction's token."""
    token: Token | None = state.token
    if token is None:
        token = state.token = Token(guard.token())
    return token


def commit_id(state: State) -> str:
    """Return the id of the open transaction's COMMIT, in advance: its row is never deleted by us.  Raises `ConfigError`
    where it could not be written.
    """
    guard = guard_of(state)
    if state.session is not None and (why := guard.refusals.get(state.session.node)):
        raise ConfigError(f"commit_id: the commit guard is inactive on node {state.session.node!r}: {why}")
    token = token_of(state, guard)
    token.exported = True
    state.touched = True
    return id_of(state, token)


def id_of(state: State, token: Token) -> str:
    """Return the text by which the token is settled."""
    if not token.id:
        token.id = str(guard_of(state).commit_id(token.value, state.topology.view.epoch))
    return token.id


def outdated(state: State, token: Token) -> ClusterError | None:
    """Return what the caller is told where a newer history has begun since the id of the token was handed out; None:
    none has, or nobody has it.

    The id says which history it is of, so that an old primary is not asked: one that it would still name could say
    "void" of what the new one has committed.
    """
    newest = state.topology.view.epoch
    if not token.exported or newest is None or newest.shared:
        return None
    told = CommitId.parse(token.id)
    if not told.lineage or (told.lineage, told.epoch) == (newest.lineage, newest.number):
        return None
    return state.error(TransactionLost, OUTDATED)


def database_of(topology: Topology, node: str) -> str | None:
    """Return the database that is configured for a node; None: none, or it is not known beforehand."""
    address = topology.addresses.get(node)
    return address.database if address is not None and isinstance(address.database, str) else None


def prepared(state: State, session: Session, text: bool) -> Token | None:
    """Return the token that the COMMIT on ``session`` carries; None: it goes unguarded.  ``text``: COMMIT is the
    caller's own statement.
    """
    guard = guard_of(state)
    chosen = way(_case(state, session, guard, text))
    if chosen is Way.NONE:
        return None
    token = token_of(state, guard)
    token.fold = _texts(state, session, guard)[1].replace(BLANK, token.value.hex()) if chosen is Way.FOLDED else ""
    return token


def _case(state: State, session: Session, guard: CommitGuard, text: bool) -> Case:
    driver, now, token = state.driver, state.transaction, state.token
    # Some drivers cannot tell for sure (MySQL's): then COMMIT itself goes by our own bookkeeping too.
    told = driver.in_transaction(session.raw)
    return Case(
        active=guard.is_active(session.node),
        read_only=session.read_only is not False or state.want.read_only,
        changed=state.changed,
        may_commit=now.may_commit,
        alone=state.standing is Standing.NONE,
        writes=now.writes,
        exported=token is not None and token.exported,
        text=text,
        open=told is True or (told is None and not driver.abilities.transaction_status),
        folds=driver.folds(session.raw),
    )


def insert_of(state: State, session: Session, token: Token) -> str:
    """Return the statement that writes the token."""
    return _texts(state, session, guard_of(state))[0].replace(BLANK, token.value.hex())


def _texts(state: State, session: Session, guard: CommitGuard) -> tuple[str, str]:
    """Return what writes a token on the session's server, and what writes it and commits, with `BLANK` in its place:
    each is worked out once per node and version.
    """
    name, topology = session.node, state.topology
    node = topology.view.by_name.get(name)
    key = (name, node.version if node is not None else "")
    found = guard.texts.get(key)
    if found is None:
        insert = guard.sql.insert(guard.commits(database_of(topology, name)), bytes(BYTES))
        found = guard.texts[key] = insert, guard.sql.fold(key[1], insert)
    return found


def refused(state: State, session: Session, token: Token, error: BaseException) -> ClusterError | None:
    """Return what the caller is told where the token's INSERT was refused; None: the error is another one."""
    guard, facts = guard_of(state), state.facts(error)
    code = facts.sqlstate if facts.sqlstate is not None else facts.errno
    if facts.lost or facts.fault is Fault.FOREIGN or (token.fold and _ended(state, session)):
        return None
    if code in guard.sql.taken or facts.errno in guard.sql.taken:
        return _lost(state, TAKEN, error)
    if code not in guard.sql.refused and facts.errno not in guard.sql.refused:
        return None
    if not state.changed:  # else it is this session's user or mode that it was refused to
        guard.refused(session.node, error)
    return _lost(state, REFUSED, error)


def _ended(state: State, session: Session) -> bool:
    """Whether it was COMMIT that failed, so that nothing is open any more; where a driver cannot tell, it was not."""
    return state.driver.in_transaction(session.raw) is False


def left_open(state: State, session: Session, token: Token, error: BaseException) -> bool:
    """Tell whether a folded COMMIT has failed at its token, so that the server may hold the transaction open."""
    facts = state.facts(error)
    return bool(token.fold) and not facts.lost and facts.fault is not Fault.FOREIGN and not _ended(state, session)


def _lost(state: State, words: str, cause: BaseException) -> ClusterError:
    error = state.error(TransactionLost, words)
    error.__cause__ = cause
    return error


def doubted(state: State, token: Token, facts: Facts) -> Facts:
    """Return what an error of the COMMIT proves where its text goes on after COMMIT: then an interruption proves
    nothing.
    """
    if token.fold and not facts.lost and facts.errno in guard_of(state).sql.unproven:
        return replace(facts, fault=Fault.AMBIGUOUS)
    return facts


def is_in_doubt(state: State, outcome: Any, phase: Phase) -> bool:
    """Tell whether a COMMIT has ended so that the guard must find out.  One that our own deadline has ended leaves no
    time for it.
    """
    token: Token | None = state.token
    if token is None or not token.sent or phase is not Phase.COMMIT or not isinstance(outcome, Lost):
        return False
    return outcome.verdict is Verdict.UNKNOWN and not outcome.situation.timed_out


def fence_of(state: State, token: Token) -> tuple[Want, Fence]:
    """Return what sort of connection the question is put on, and the question."""
    guard = guard_of(state)
    want = Want(Service.WRITE, use=state.want.use)
    node = state.session.node if state.session is not None else next(iter(state.topology.addresses), "")
    return want, guard.sql.fence(guard.commits(database_of(state.topology, node)), token.value)


def ended(state: State, token: Token, lost: Lost, settled: Settled) -> Lost | None:
    """Return how the COMMIT has ended, which was in doubt; None: it has happened."""
    guard_of(state).settled(settled.stage)
    state.topology.events.note("commit guard", lost.node, f"a COMMIT in doubt is {settled.stage.value}")
    token.sent = settled.stage is Stage.UNKNOWN  # what is known needs no id, and its row is left alone
    if settled.stage is Stage.COMMITTED:
        state.committed = True
        return None
    if settled.stage is Stage.VOID:
        return replace(lost, verdict=Verdict.LOST, words=VOID)
    return replace(lost, note=f"clustersql: what became of the COMMIT could not be found out: {settled.why}")


def broken_off(state: State, error: BaseException, words: str) -> None:
    """Something that is not the driver's broke into the question: ``words`` is the note that nobody knows what became
    of the COMMIT.
    """
    note(error, words)
    note_id(state, error)
    state.committed = True  # for all we know
    state.doubtful_commit()
    state.boundary(committed=False)


def note_id(state: State, error: BaseException) -> None:
    """Say on an exception that passes by which id its COMMIT can be settled."""
    token: Token | None = state.token
    if token is not None and token.sent:
        note(error, settled_by(id_of(state, token)))


def settled_by(commit_id: str) -> str:
    """Return the note that tells the id of a COMMIT whose outcome nobody knows."""
    return f"clustersql: what became of it is told by db.settle({commit_id!r})"


def watch(state: State, operation: str) -> None:
    """Note that a statement, which is about to be sent, takes the guard away: another user, or a transaction that is
    read-only.
    """
    guard, notes = guard_of(state), state.notes
    if not guard.sql.unguards.search(operation):
        notes.keep(operation)
        return
    state.changed = True
    # It is to be noted each time, though it leaves nothing behind.
    notes.plain.discard(operation)
    notes.proven.discard(operation)
