"""Databases as data: error tables, probe SQL, which statements have effects, and what to ask.  One `Dialect` per file
or folder.

Dialects hold tuples, mappings and SQL, and rarely one small pure function.  They import nothing but `core` values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.causal.means import Means
from ..core.faults import Fault
from ..core.statements.rules import Rules
from ..core.view.members import Members
from ..core.view.node import Report
from .guarding import Guarding
from .questions import Questions

__all__ = ["KNOWN", "Dialect", "by_name", "classify", "ends_session", "never_sent"]

Rows = Sequence[Sequence[Any]]


KNOWN: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("postgresql", "postgres"),
    "mysql": ("mysql", "mariadb"),
    "sqlite": ("sqlite",),
    "generic": (),
}
"""The databases: the name of each, which is that of its file or folder here, and the schemes of its URLs."""

Faults = Fault | tuple[tuple[str, Fault], ...]
"""What a code means.  Pairs of needle and fault: the code is used for more than one thing (1290, 1047, pgbouncer's
08P01), so that the text decides; no needle found is `Fault.STATEMENT`."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Everything that differs between databases."""

    name: str
    """Its name in `KNOWN`."""
    sqlstates: Mapping[str, Faults]
    """The fault of a whole SQLSTATE, or of its two-letter class; the whole code wins."""
    errnos: Mapping[int, Faults]
    """The fault of an error number, of the server's or of the client library's."""
    messages: tuple[tuple[str, Fault], ...]
    """Looked at last, when neither number nor state is there: (needle in lower case, fault)."""
    at_connect: Mapping[str | int, Faults]
    """Wins over all of them for errors that are raised while connecting."""
    lost: frozenset[str | int]
    """The numbers and states after which the session is gone, whatever their fault."""
    undone_at_commit: frozenset[str | int]
    """Those that a test proves to mean "did not happen" when COMMIT is answered with them."""
    probe: tuple[str, ...]
    """The statements that ask a node for its role and readiness."""
    report: Callable[[Sequence[Rows]], Report]
    """Reads their answers, in order."""
    read_only_on: tuple[str, ...]
    """Makes every later transaction of the session read-only."""
    read_only_off: tuple[str, ...]
    """Takes that back."""
    reset: tuple[str, ...]
    """Gives a session its first state back; empty: there is no such statement, and the connection is closed instead."""
    rules: Rules
    """What its statements do."""
    questions: Questions = field(default_factory=Questions)
    """What `clustersql check` asks."""
    quote: str = '"'
    """Stands around a name that could not stand there without."""
    unheard: frozenset[str | int] = frozenset()
    """Codes by which the server says that it has ended an idle session: it read nothing of what was sent since, a
    COMMIT neither."""
    forget_generated: tuple[str, ...] = ()
    """Lets a session forget what was generated in it, so that nobody is told an earlier caller's."""
    generated: str = ""
    """Gives a row when something was generated in the session since; empty: the server refuses the question by
    itself, or it cannot be asked."""
    measures_lag: frozenset[str] = frozenset()
    """In what a replica's lag can be told, "seconds" and "bytes"; nothing: a report tells no position of the node's
    log."""
    unsent: tuple[str, ...] = ()
    """Texts of errors by which a pooler says that it had no session of the server for the statement, so that nothing
    was sent to one."""
    rollback_ends: bool = False
    """A rollback that the server makes by itself (deadlock) ends the transaction, so that what follows would begin
    another.  Where it does not (PostgreSQL), the transaction waits, failed, for its ROLLBACK, and one to a savepoint
    can save it."""
    settings_roll_back: bool = False
    """A rollback undoes what SET has set in its transaction."""
    ask_who: tuple[str, ...] = ()
    """Asks which server it is, where nothing else has to be asked at a dial; empty: only `probe` asks."""
    who: Callable[[Sequence[Rows]], tuple[str, str]] = lambda answers: ("", "")
    """Reads the answers: `Report.identity` and `Report.server`."""
    ask_further: Callable[[Report], tuple[str, ...]] = lambda report: ()
    """Gives the statements that ask a node on, whose report is known; they may be refused for want of a privilege."""
    further: Callable[[Report, Sequence[Rows]], Report] = lambda report, answers: report
    """Adds their answers to the report."""
    ask_members: Callable[[Report], tuple[str, ...]] | None = None
    """Gives the statements that ask a node, whose report is known, for the members of its cluster; None: it cannot be
    asked."""
    members: Callable[[str, Report, Sequence[Rows]], Members] = lambda node, report, answers: Members(node)
    """Reads their answers."""
    has_patroni: bool = False
    """A Patroni may look after its servers, and tell the members too."""
    port: int | None = None
    """Where servers listen by default."""
    bookmarks: Means | None = None
    """How it tells positions in its history that a reader can wait for; None: it tells none."""
    reset_proof: str = ""
    """Gives true in a session that the reset has made as it was at first, where a reset may leave something; empty: it
    leaves nothing."""
    cancel: str = ""
    """Ends the statement that another session is executing, by its number, and for how many seconds it has been open at
    least; empty: there is none."""
    terminate: str = ""
    """Ends another session, by the same; empty: there is none."""
    uptime: str = ""
    """Gives for how many seconds the server has been running, as the last value of a row: after a restart the numbers
    mean others' sessions; empty: `cancel` and `terminate` look for themselves whether it is the same session."""
    guard: Guarding | None = None
    """What the commit guard says to it; None: it cannot guard a COMMIT there."""
    running: str = ""
    """Gives those of these sessions, by their numbers, that are still at work or were so less than a second ago; empty:
    it cannot be asked."""


def by_name(name: str) -> Dialect:
    """Return the dialect called ``name``, one of `KNOWN` (mysql is MariaDB's and Galera's too).  Raises KeyError for
    another name.
    """
    from importlib import import_module

    if name not in KNOWN:
        raise KeyError(name)
    dialect: Dialect = import_module(f".{name}", __name__).DIALECT
    return dialect


def classify(
    dialect: Dialect, sqlstate: str | None, errno: int | None, message: str, connecting: bool = False
) -> Fault | None:
    """Return the fault that an error code proves; None when neither the codes nor the message are in the tables.

    The most exact knowledge first: errno (with its text where the number is ambiguous), the whole SQLSTATE, its class,
    the message.  The message is looked at only when there is no code at all: a server's text may quote the user's data.

    >>> classify(by_name("mysql"), "HY000", 1290, "running with the --read-only option")
    <Fault.READ_ONLY: 'read-only'>
    """
    text = message.lower()
    codes = [code for code in (errno, sqlstate, sqlstate and sqlstate[:2]) if code]
    if connecting:
        for code in codes:
            if code in dialect.at_connect:
                return _decided(dialect.at_connect[code], text)
    for code in codes:
        found = dialect.errnos.get(code) if isinstance(code, int) else dialect.sqlstates.get(code)
        if found is not None:
            return _decided(found, text)
    return None if codes else _by_text(dialect.messages, text)


def ends_session(dialect: Dialect, sqlstate: str | None, errno: int | None) -> bool:
    """Tell whether the session is gone after this error, whatever its fault: `Dialect.lost` by number, state or class.

    A whole SQLSTATE that has a fault of its own is judged by itself, not by its class.
    """
    if errno in dialect.lost or sqlstate in dialect.lost:
        return True
    if sqlstate is None or errno in dialect.errnos or sqlstate in dialect.sqlstates:
        return False
    return sqlstate[:2] in dialect.lost


def never_sent(dialect: Dialect, sqlstate: str | None, message: str) -> bool:
    """Tell whether a pooler says that it had no session of the server for the statement.

    By the code that poolers use (class 08), or, where the driver shows none, by the text alone.
    """
    text = message.lower()
    return (sqlstate is None or sqlstate[:2] == "08") and any(needle in text for needle in dialect.unsent)


def _decided(found: Faults, text: str) -> Fault:
    return found if isinstance(found, Fault) else _by_text(found, text) or Fault.STATEMENT


def _by_text(needles: tuple[tuple[str, Fault], ...], text: str) -> Fault | None:
    return next((fault for needle, fault in needles if needle in text), None)
