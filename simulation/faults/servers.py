"""One simulated server: its journal, its sessions, and what it answers to each statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from . import tokens
from .flavours import CALL, HISTORY, INSERT, LOOK, SELECT, Code

if TYPE_CHECKING:
    from .replication import Servers

READ_ONLY_TRANSACTION: Code = ("25006", 1792, "Cannot execute statement in a READ ONLY transaction")
BEGINS = ("BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "START TRANSACTION")
FORBIDDEN: Code = ("42501", None, "permission denied for function pg_read_file")
IN_FAILED: Code = ("25P02", None, "current transaction is aborted, commands ignored until end of transaction block")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A committed transaction: where each token was written.  One object on every node that has it."""

    epoch: int
    """In which it was committed."""
    writes: tuple[tuple[str, str], ...]
    """Place and token of each."""
    rows: tuple[tuple[str, str], ...] = ()
    """What became of tokens of the commit guard."""
    number: int = 0
    """Of the transaction; it is given again after a failover."""


@dataclass(slots=True)
class Answer:
    """What goes back to the client: rows, or an error; and what the driver is told of the transaction."""

    rows: list[tuple[Any, ...]] | None = None
    error: Code | None = None
    in_transaction: bool = False
    failed: bool = False


Reply = Callable[[Answer], None]


@dataclass(eq=False)
class ServerSession:
    """A client's session on the server."""

    cut: Callable[[], None]
    """Ends the connection, as the client sees it."""
    number: int = 0
    """The server's, by which others end it."""
    busy: bool = False
    """Whether it works on a statement."""
    read_only: bool = False
    """Whether its transactions refuse writes."""
    who: str | None = None
    """What a setting of the session remembers."""
    writes: list[tuple[str, str]] | None = None
    """Those of the open transaction; None: none is open."""
    failed: bool = False
    """Whether the open transaction has failed."""
    ended: bool = False
    """Whether the server has let it go."""
    rows: list[tuple[str, str]] = field(default_factory=list)
    """Those of the commit guard in the open transaction."""
    transaction: int = 0
    """The number of the latest one that wrote."""
    patience: float = 1.0
    """How many seconds it waits for somebody else's row."""


@dataclass(eq=False)
class Node:
    """One server.  ``pace`` stretches all that it does: its clock is slow, or its disk is.

    ``forked_at``: how long its journal was when it was promoted, as it says since.  ``rewound``: what a standby shows
    of its journal until that moment, as one that was killed replays it again.
    """

    name: str
    servers: Servers
    primary: bool = False
    epoch: int = 0
    pace: float = 1.0
    alive: bool = True
    starting: bool = False
    frozen: bool = False
    starts: int = 1
    full: bool = False
    upstream: Node | None = None
    log: list[Entry] = field(default_factory=list)
    flushed: int = 0
    confirmed: int = 0
    sessions: list[ServerSession] = field(default_factory=list)
    waiting: list[tuple[int, Callable[[], None], ServerSession]] = field(default_factory=list)
    forked_at: int | None = None
    rewound: tuple[int, float] = (0, 0.0)
    held: list[Callable[[], object]] = field(default_factory=list)
    keys: dict[str, ServerSession] = field(default_factory=dict)
    """Whose open transaction has written which row of the commit guard."""
    given: int = 0
    """The newest number of a transaction that was given here."""

    # -- messages ------------------------------------------------------------------------------------------------------

    def when_running(self, action: Callable[..., object], *arguments: Any) -> None:
        """Do it now, or when the node is thawed; a node that crashes never does."""
        if self.frozen:
            self.held.append(partial(action, *arguments))
        elif self.alive:
            action(*arguments)

    def handle(self, session: ServerSession, request: tuple[Any, ...], reply: Reply) -> None:
        """Work on a request that has arrived; ``reply`` is called with the answer when the work is done, and ends
        `ServerSession.busy`.
        """
        session.busy = True
        seconds = self.servers.chance.random() * 0.004 * self.pace
        self.servers.loop.at(seconds, self.when_running, self._work, session, request, reply)

    def _work(self, session: ServerSession, request: tuple[Any, ...], reply: Reply) -> None:
        if session.ended:
            return
        kind = request[0]
        if kind == "execute":
            self._execute(session, *request[1:], reply)
        elif kind == "commit":
            self.commit(session, reply)
        else:
            self._roll_back(session, reply)

    def _roll_back(self, session: ServerSession, reply: Reply) -> None:
        session.writes, session.failed = None, False
        tokens.free(self, session)
        reply(Answer())

    def end(self, session: ServerSession) -> None:
        """The client has gone, and the server has seen it: what was open is rolled back."""
        session.ended = True
        if session in self.sessions:
            self.sessions.remove(session)
        if not any(session is waiting for _, _, waiting in self.waiting):  # else its COMMIT goes on
            tokens.free(self, session)

    # -- statements ----------------------------------------------------------------------------------------------------

    def _execute(self, session: ServerSession, sql: str, parameters: Any, autocommit: bool, reply: Reply) -> None:
        if not autocommit and session.writes is None:
            session.writes, session.transaction = [], 0
        if sql in BEGINS:
            session.writes, session.transaction = [], 0
            reply(self.answer(session))
            return
        if sql == "COMMIT":
            self.commit(session, reply)
            return
        if sql == "ROLLBACK":
            self._roll_back(session, reply)
            return
        if session.failed and session.writes is not None:
            reply(self.answer(session, error=IN_FAILED))
            return
        family = self.servers.family
        if sql in (*family.dialect.probe, LOOK):
            reply(self.answer(session, rows=self._told(sql)))
        elif sql in (*family.dialect.read_only_on, *family.dialect.read_only_off):
            session.read_only = sql in family.dialect.read_only_on
            reply(self.answer(session))
        elif sql == "DISCARD ALL":
            session.who, session.read_only = None, False
            reply(self.answer(session))
        elif sql in (family.remember, family.recall):
            if sql == family.remember:
                session.who = parameters[0]
            reply(self.answer(session, rows=[(session.who,)]))
        elif sql in (SELECT, INSERT, CALL, family.put):
            self._data(session, sql, parameters, reply)
        elif HISTORY in sql:
            self._tell_history(session, reply)
        elif not tokens.execute(self, session, sql, reply):
            reply(self.answer(session, rows=self._administer(sql)))

    def _told(self, sql: str) -> list[tuple[Any, ...]]:
        at = (self.applied(), self.forked_at)
        return self.servers.family.told(sql, not self.primary, self.epoch, at, f"{self.name} {self.starts}")

    def applied(self) -> int:
        """Return how much of its journal a reader can see here."""
        length, until = self.rewound
        is_whole = self.primary or self.servers.loop.now >= until
        return len(self.log) if is_whole else min(length, len(self.log))

    def _tell_history(self, session: ServerSession, reply: Reply) -> None:
        """The history file of its timeline, for a user who may read it."""
        if not self.servers.shows_history:
            reply(self.answer(session, error=FORBIDDEN))
            return
        lines = [f"{epoch - 1}\t0/{length * 100:X}\tno recovery target" for epoch, length in self.servers.forks]
        reply(self.answer(session, rows=[("\n".join(lines),)]))

    def _administer(self, sql: str) -> list[tuple[Any, ...]]:
        """Answer which of some sessions still work on a statement, or end one; a statement is never cancelled alone."""
        dialect = self.servers.family.dialect
        if sql == dialect.uptime:
            return []  # no number is given twice here
        numbers = {int(number) for number in re.findall(r"\b\d+\b", sql.partition(" AND ")[0])}
        meant = [session for session in self.sessions if session.number in numbers]
        if sql.startswith(dialect.running.partition("{}")[0]):
            return [(session.number,) for session in meant if session.busy]
        if sql.startswith(dialect.terminate.partition("{}")[0]) and "QUERY" not in sql:
            self.servers.end_sessions(self, meant)
        elif not sql.startswith(dialect.cancel.partition("{}")[0]):
            raise AssertionError(f"the simulated server does not know {sql!r}")
        return []

    def _data(self, session: ServerSession, sql: str, parameters: Any, reply: Reply) -> None:
        writes = sql != SELECT
        error = self.refusal(session, writes)
        if error is not None:
            self.refuse(session, error, reply)
        elif not writes:
            own = [token for place, token in session.writes or () if place == parameters[0]]
            seen = [(token,) for token in [*self.visible(parameters[0]), *own]]
            reply(self.answer(session, rows=seen))
        elif session.writes is None or sql == CALL:
            done = [*(session.writes or ()), parameters]
            session.writes = None
            self.number(session)
            self._append(session, done, lambda: reply(self.answer(session)))
        else:
            session.writes.append(parameters)
            self.number(session)
            reply(self.answer(session))

    def newest(self) -> int:
        """Return the newest number of a transaction that is known here."""
        return max([self.given, *(entry.number for entry in self.log)])

    def number(self, session: ServerSession) -> None:
        """The session's transaction writes: it gets its number."""
        if not session.transaction:
            session.transaction = self.given = self.newest() + 1

    def refusal(self, session: ServerSession, writes: bool, duplicates: bool = True) -> Code | None:
        """Return why a statement is refused, by its session's mode, the node's role, or by chance; None: it is not."""
        family, trouble, chance = self.servers.family, self.servers.trouble, self.servers.chance
        if writes and session.read_only:
            return READ_ONLY_TRANSACTION
        if writes and not self.primary:
            return family.read_only
        if chance.random() < trouble.deadlocks:
            return family.deadlock
        if writes and duplicates and chance.random() < trouble.duplicates:
            return family.duplicate
        return None

    def refuse(self, session: ServerSession, error: Code, reply: Reply) -> None:
        """Answer with an error, and do to the transaction what the family does."""
        self._fail(session, error)
        reply(self.answer(session, error=error))

    def _fail(self, session: ServerSession, error: Code) -> None:
        family = self.servers.family
        if session.writes is None:
            return
        if family.fails_transactions:
            session.failed, session.writes = True, []
            tokens.free(self, session)
        elif error == family.deadlock:
            session.writes = None
            tokens.free(self, session)

    def commit(self, session: ServerSession, reply: Reply) -> None:
        """Commit what is open."""
        writes, failed = session.writes or [], session.failed
        session.writes, session.failed = None, False
        if not (writes or session.rows) or failed:
            tokens.free(self, session)
            reply(self.answer(session))  # of a failed transaction: a rollback, reported as success
            return
        error = self._refusal_at_commit()
        if error is None:
            self._append(session, writes, lambda: reply(self.answer(session)))
            return
        if error == self.servers.family.ambiguous and self.servers.chance.random() < 0.5:
            self._append(session, writes, lambda: None)
        else:
            tokens.free(self, session)
        reply(self.answer(session, error=error))

    def _refusal_at_commit(self) -> Code | None:
        family, trouble, chance = self.servers.family, self.servers.trouble, self.servers.chance
        if not self.primary:
            return family.read_only
        if chance.random() < trouble.deadlocks:
            return family.deadlock
        return family.ambiguous if chance.random() < trouble.ambiguous else None

    def _append(self, session: ServerSession, writes: list[tuple[str, str]], done: Callable[[], None]) -> None:
        entry = Entry(self.epoch, tuple(writes), tuple(session.rows), session.transaction)

        def ended() -> None:
            tokens.free(self, session)
            done()

        self.servers.commit(self, session, entry, ended)

    def visible(self, place: str) -> list[str]:
        """Return what a reader sees here: on a synchronous primary, only what another node has too."""
        entries = self.log[: self.confirmed if self.servers.synchronous and self.primary else self.applied()]
        return [token for entry in entries for where, token in entry.writes if where == place]

    def answer(
        self, session: ServerSession, rows: list[tuple[Any, ...]] | None = None, error: Code | None = None
    ) -> Answer:
        """Return what goes back to the client."""
        return Answer(rows, error, session.writes is not None, session.failed)
