"""Random programs of one client: what users do with a `Database`, and what they conclude from how it ended."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from clustersql import ClusterError, OutcomeUnknown, TransactionLost
from clustersql.connection.interruption import ANSWERED, COMMITTED, DONE

from .driver import Error, SoftLimit
from .flavours import CALL, INSERT, SELECT, Family
from .history import FAILED, OK, OPEN, UNKNOWN, History
from .loop import Loop

PLACES = ("a", "b")


class GivenUp(Exception):
    """The program's own error, in the middle of its transaction."""


FAILURES = (Error, ClusterError, GivenUp, SoftLimit)
"""How an operation may end."""


def told(error: BaseException) -> str:
    """What a program concludes from an error: it did not happen, unless the error says that nobody knows, or that it
    has.
    """
    notes = getattr(error, "__notes__", ())
    if any(note in notes for note in (DONE, COMMITTED, ANSWERED)):
        return OK
    noted = any("OutcomeUnknown" in note for note in notes)
    return UNKNOWN if noted or isinstance(error, OutcomeUnknown) else FAILED


def id_of(error: BaseException) -> str | None:
    """Return the id by which the guard settles what became of a COMMIT: the error has it, or its notes."""
    notes = " ".join(getattr(error, "__notes__", ()))
    found = re.search(r"db\.settle\('(.+?)'\)", notes)
    return getattr(error, "commit_id", None) or (found[1] if found else None)


class Work:
    """The tokens of one open transaction."""

    handed_out = ""
    """The id of its COMMIT, where it was taken in advance."""

    def __init__(self, client: Client, harmless: bool = False) -> None:
        self.client = client
        self.harmless = harmless
        self.open: list[tuple[str, str]] = []

    def token(self) -> tuple[str, str]:
        """Return a new token and its place."""
        write = (self.client.chance.choice(PLACES), self.client.new_token(self.harmless))
        self.open.append(write)
        return write

    def together(self) -> None:
        """A COMMIT is asked to make them all true."""
        self.client.history.groups.append(tuple(token for _, token in self.open))

    def claim(self, claim: str) -> None:
        """The client has been told what became of them."""
        for _, token in self.open:
            self.client.history.claims[token] = claim
        self.open.clear()

    def settled(self, answer: str, end: str) -> str:
        """The guard has told what became of its COMMIT, which had ended so.  Returns what is claimed then."""
        history, tokens = self.client.history, [token for _, token in self.open]
        history.note(self.client.name, f"settled as {answer} {' '.join(tokens)}")
        if answer == "void":
            history.void.update(tokens)
            return FAILED if end == UNKNOWN else end
        if end == FAILED and tokens:
            history.violated(f"{tokens[0]} was reported failed, and is settled as committed")
        return OK

    def drop(self, write: tuple[str, str]) -> None:
        """This one statement has failed; the rest goes on."""
        self.open.remove(write)
        self.client.history.claims[write[1]] = FAILED


class Client:
    """One thread of the user's program."""

    def __init__(self, name: str, database: Any, family: Family, history: History, loop: Loop) -> None:
        self.name = name
        self.database = database
        self.family = family
        self.history = history
        self.loop = loop
        self.chance: random.Random = loop.chance
        self.running = True
        loop.busy += 1
        self.hurries = True
        self.elsewhere: Callable[[], Any] | None = None
        """Makes the cluster as another process knows it; None: the commit guard is off."""
        self._tokens = 0

    def new_token(self, harmless: bool = False) -> str:
        """Return a text that is written once."""
        self._tokens += 1
        token = f"{self.name}{self._tokens}"
        self.history.claims[token] = OPEN
        if harmless:
            self.history.harmless.add(token)
        return token

    def run(self, operations: int) -> None:
        """Do some things, one after the other."""
        for _ in range(operations):
            self.loop.sleep(self.chance.random() * 0.6)
            guarded = self.elsewhere is not None and self.chance.random() < 0.2
            self.do(in_advance if guarded else self.chance.choices(PROGRAMS, WEIGHTS)[0])
        self.end()

    def end(self) -> None:
        """It has done all that it had to."""
        self.running = False
        self.loop.busy -= 1

    def do(self, program: Callable[[Client, Any, Work], None]) -> str:
        """Do one thing, and note how it ended."""
        harmless = program in (put, put_in_transaction)
        work, name = Work(self, harmless), program.__name__
        database = self._view(harmless)
        self.history.note(self.name, f"{name} ...")
        try:
            program(self, database, work)
            end, why = OK, ""
        except FAILURES as exc:
            end, why = self.conclude(exc, work), f"{type(exc).__name__}: {exc}"
        tokens = " ".join(token for _, token in work.open)
        if work.handed_out:
            self.think()
            end = self.settle(work.handed_out, work, end)
        work.claim(end)
        self.history.outcomes[f"{name} {end}"] += 1
        self.history.note(self.name, f"{name} {end} {tokens} {why}")
        return end

    def conclude(self, error: BaseException, work: Work) -> str:
        """Return what it concludes from an error.  Where nobody knows, it may ask by the id of the COMMIT."""
        end, text = told(error), id_of(error)
        if end != UNKNOWN or text is None or work.handed_out or self.chance.random() < 0.2:
            return end
        return self.settle(text, work, end)

    def settle(self, text: str, work: Work, end: str) -> str:
        """Ask, here or in another process, what became of a COMMIT that has ended so."""
        assert self.elsewhere is not None
        cluster = self.elsewhere() if self.chance.random() < 0.5 else None
        try:
            database = self.database if cluster is None else cluster.open()
            return work.settled(database.settle(text, timeout=self.chance.choice([0.5, 3.0])), end)
        except FAILURES as exc:
            self.history.note(self.name, f"settle {type(exc).__name__}: {exc}")
            return end
        finally:
            if cluster is not None:
                cluster.close()

    def _view(self, harmless: bool) -> Any:
        timeout = 0.05 + self.chance.random() if self.hurries and self.chance.random() < 0.15 else None
        return self.database.options(timeout=timeout, idempotent=harmless or None)

    def think(self) -> None:
        """Sometimes a program waits between two statements, and the world goes on."""
        if self.chance.random() < 0.3:
            self.loop.sleep(self.chance.random() * 0.3)

    def see(self, cursor: Any, own: Work | None = None) -> None:
        """Read; in a transaction what it has written itself must be there."""
        self.think()
        place = self.chance.choice(PLACES)
        cursor.execute(SELECT, (place,))
        seen = {row[0] for row in cursor.fetchall()}
        missing = [token for where, token in (own.open if own else ()) if where == place and token not in seen]
        if missing:
            self.history.violated(f"{self.name} does not see its own {' '.join(missing)} in its transaction")


# -- the programs ------------------------------------------------------------------------------------------------------


def write(client: Client, database: Any, work: Work) -> None:
    """A single write in autocommit mode."""
    database.execute(INSERT, work.token())


def put(client: Client, database: Any, work: Work) -> None:
    """A single write that does no harm twice, and says so."""
    database.execute(client.family.put, work.token())


def read(client: Client, database: Any, work: Work) -> None:
    """A single read, on any node or on the primary."""
    database.options(read_only=client.chance.random() < 0.7 or None).execute(SELECT, (client.chance.choice(PLACES),))


def call(client: Client, database: Any, work: Work) -> None:
    """A procedure that may commit in the middle: an error of the server's says nothing of what came before."""
    try:
        database.execute(CALL, work.token())
    except (Error, SoftLimit) as exc:
        if not isinstance(exc, ClusterError):
            work.claim(UNKNOWN)
        raise


def transaction(client: Client, database: Any, work: Work) -> None:
    """Some statements in ``with``; sometimes the program gives up, or goes on after an error."""
    with database.connection() as connection:
        _statements(client, connection.cursor(), work, client.chance.random() < 0.2)
        if client.chance.random() < 0.1:
            raise GivenUp
        work.together()


def in_advance(client: Client, database: Any, work: Work) -> None:
    """A transaction whose id was taken in advance, and is settled whatever became of it."""
    with database.connection() as connection:
        work.handed_out = connection.commit_id
        _statements(client, connection.cursor(), work, False)
        work.together()


def put_in_transaction(client: Client, database: Any, work: Work) -> None:
    """The same, declared idempotent: COMMIT proves no more for that."""
    with database.connection() as connection:
        for _ in range(client.chance.randint(1, 2)):
            connection.cursor().execute(client.family.put, work.token())
        work.together()


def read_transaction(client: Client, database: Any, work: Work) -> None:
    """Reads on any node."""
    with database.connection(read_only=True) as connection:
        cursor = connection.cursor()
        for _ in range(client.chance.randint(1, 3)):
            client.see(cursor)


def handle(client: Client, database: Any, work: Work) -> None:
    """Two transactions on one connection, committed and rolled back by hand."""
    connection = database.connection()
    try:
        for _ in range(2):
            _transaction_by_hand(client, connection, work)
    finally:
        connection.close()


def explicit(client: Client, database: Any, work: Work) -> None:
    """Autocommit mode on a connection, with BEGIN and COMMIT as statements."""
    with database.connection() as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(INSERT, work.token())
        work.claim(OK)
        cursor.execute("BEGIN")
        _statements(client, cursor, work, False)
        work.together()
        cursor.execute("COMMIT") if client.chance.random() < 0.5 else connection.commit()
        work.claim(OK)
        cursor.execute(INSERT, work.token())


def call_in_transaction(client: Client, database: Any, work: Work) -> None:
    """What is open when the procedure is called is committed with it."""
    with database.connection() as connection:
        cursor = connection.cursor()
        cursor.execute(INSERT, work.token())
        try:
            cursor.execute(CALL, work.token())
        except (Error, SoftLimit) as exc:
            if not isinstance(exc, ClusterError):
                work.claim(UNKNOWN)
            raise
        work.claim(OK)
        cursor.execute(INSERT, work.token())


def run(client: Client, database: Any, work: Work) -> None:
    """A function in `Database.run`, which may be called again."""
    writes = [work.token() for _ in range(client.chance.randint(1, 3))]
    swallows = client.chance.random() < 0.2
    called: list[int] = []
    group: list[tuple[str, ...]] = [()]

    def function(connection: Any) -> None:
        connection.on_commit(lambda: called.append(connection.attempt))
        work.open[:] = writes
        cursor = connection.cursor()
        for one in writes:
            client.think()
            try:
                cursor.execute(INSERT, one)
            except Error:
                if not swallows:
                    raise
                work.drop(one)
        group[0] = tuple(token for _, token in work.open)  # of the latest attempt: only that one can have happened

    try:
        database.run(function)
    except FAILURES as exc:
        work.open[:] = [one for one in writes if one[1] in group[0]] if id_of(exc) else writes
        if called and told(exc) != OK:
            client.history.violated(f"{client.name} on_commit was called, but run() says that it did not happen")
        raise
    finally:
        client.history.groups.append(group[0])
    if len(called) != 1:
        client.history.violated(f"{client.name} on_commit was called {len(called)} times")


def session(client: Client, database: Any, work: Work) -> None:
    """Something is left in the session: it must be there until the end, and nobody else must find it."""
    with database.connection(read_only=client.chance.random() < 0.7 or None) as connection:
        connection.autocommit = client.chance.random() < 0.7
        cursor, family = connection.cursor(), client.family
        cursor.execute(family.recall)
        if (found := cursor.fetchone()[0]) is not None:
            client.history.violated(f"{client.name} finds what {found} left in the session")
        cursor.execute(family.remember, (client.name,))
        for _ in range(client.chance.randint(1, 4)):
            client.see(cursor)
        cursor.execute(family.recall)
        if (found := cursor.fetchone()[0]) != client.name:
            client.history.violated(f"{client.name} finds {found} in its own session")


def many(client: Client, database: Any, work: Work) -> None:
    """Rows from a generator in one statement, in a transaction: all of them are there, or none."""
    with database.connection() as connection:
        writes = [work.token() for _ in range(client.chance.randint(1, 3))]
        connection.cursor().executemany(INSERT, (write for write in writes))
        work.together()


def _statements(client: Client, cursor: Any, work: Work, swallows: bool) -> None:
    for _ in range(client.chance.randint(1, 3)):
        if client.chance.random() < 0.3:
            client.see(cursor, work)
        client.think()
        one = work.token()
        try:
            cursor.execute(INSERT, one)
        except Error as exc:
            if not swallows or told(exc) == UNKNOWN:
                raise
            _after_swallowed(client, work, one, exc)


def _after_swallowed(client: Client, work: Work, one: tuple[str, str], error: Error) -> None:
    """The program goes on.  It knows that a deadlock or a lost transaction has undone all so far, and another error
    only its statement.
    """
    if isinstance(error, TransactionLost) or getattr(error, "code", None) == client.family.deadlock:
        work.claim(FAILED)
    else:
        work.drop(one)


def _transaction_by_hand(client: Client, connection: Any, work: Work) -> None:
    try:
        _statements(client, connection.cursor(), work, False)
        if client.chance.random() < 0.2:
            connection.rollback()
            work.claim(FAILED)
            return
        work.together()
        connection.commit()
        work.claim(OK)
    except FAILURES as exc:
        work.claim(client.conclude(exc, work))
        connection.rollback()


WEIGHTED: dict[Callable[[Client, Any, Work], None], int] = {
    write: 4,
    put: 2,
    read: 2,
    call: 1,
    transaction: 4,
    put_in_transaction: 1,
    read_transaction: 1,
    handle: 2,
    explicit: 1,
    call_in_transaction: 1,
    run: 4,
    session: 2,
    many: 1,
}
PROGRAMS, WEIGHTS = tuple(WEIGHTED), tuple(WEIGHTED.values())
