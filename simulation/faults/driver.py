"""A PEP 249 driver over the simulated network, and its adapter: the client side of a family, with the real dialect's
tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from types import FunctionType, SimpleNamespace
from typing import Any

from clustersql.drivers.base.adapter import Codes, LocalAutocommit
from clustersql.drivers.contract import Abilities, Target

from .flavours import Code, Family
from .network import FULL, REFUSED, STARTING, Wire, dial
from .replication import Servers
from .servers import Answer


class Error(Exception):
    """PEP 249.  ``code``: SQLSTATE, error number, text; or the text alone."""

    def __init__(self, code: Code | str) -> None:
        self.code: Code = (None, None, code) if isinstance(code, str) else code
        super().__init__(self.code[2])


class DatabaseError(Error):
    """PEP 249."""


class OperationalError(DatabaseError):
    """PEP 249."""


class IntegrityError(DatabaseError):
    """PEP 249."""


class InterfaceError(Error):
    """Raised before anything is sent."""


class SoftLimit(Exception):
    """A signal handler of the program's raises it, wherever the thread is."""


def _handler() -> None:
    raise SoftLimit("somebody else's")


_break_in = FunctionType(_handler.__code__, {"__name__": "users", "SoftLimit": SoftLimit})
"""The handler, in a module that is not the driver's: the library tells by the traceback who has raised."""


class Raw:
    """A connection of the driver."""

    def __init__(self, wire: Wire, serial: int, lost: Code) -> None:
        self.wire = wire
        self.serial = serial
        self.autocommit = False
        self.closed = False
        self.in_transaction = False
        self.failed = False
        self._lost = lost

    def cursor(self) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    def commit(self) -> None:
        """Commit what is open; nothing is sent when nothing is."""
        if self.in_transaction or self.wire.broken:
            self.ask(("commit",))

    def rollback(self) -> None:
        """Roll back what is open."""
        if self.in_transaction or self.wire.broken:
            self.ask(("rollback",))

    def close(self) -> None:
        """Close."""
        self.closed = True
        self.wire.close()

    def ask(self, request: tuple[Any, ...]) -> Answer:
        """Send, and wait for the answer.  Raises what the server answers, or that the connection is lost.

        Somebody else's exception may break into the wait: half of them it makes its own, as PyMySQL does of an OSError.
        """
        if self.closed:
            raise InterfaceError((None, None, "the connection is closed"))
        try:
            answer = self.wire.ask(request, _break_in)
        except SoftLimit:
            if self.wire.chance.random() < 0.5:
                raise
            self.close()
            raise OperationalError(self._lost)  # noqa: B904 - as drivers do, who say only what they were doing
        if answer is None:
            raise OperationalError(self._lost)
        self.in_transaction, self.failed = answer.in_transaction, answer.failed
        if answer.error is not None:
            raise OperationalError(answer.error)
        return answer


def refusal(family: Family, why: str) -> OperationalError:
    """Return the error of a dial that was refused."""
    return OperationalError({REFUSED: family.refused, STARTING: family.starting, FULL: family.full}[why])


class Cursor:
    """A cursor of the driver: the whole answer is here when `execute` returns."""

    lastrowid = None

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Run a statement."""
        self._rows, self.description = [], None
        answer = self._raw.ask(("execute", sql, parameters, self._raw.autocommit))
        if answer.rows is not None:
            self._rows, self.description = list(answer.rows), (("token",) + (None,) * 6,)
        return self

    def executemany(self, sql: str, items: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per item."""
        for parameters in items:
            self.execute(sql, parameters)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rest."""
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        """Close."""


MODULE = SimpleNamespace(
    __name__="simulated",
    apilevel="2.0",
    paramstyle="format",
    threadsafety=1,
    Error=Error,
    DatabaseError=DatabaseError,
    OperationalError=OperationalError,
    IntegrityError=IntegrityError,
    InterfaceError=InterfaceError,
)


ABILITIES = Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True)


class Told:
    """What the adapters of both APIs know of a connection, and nothing of what only the simulation knows.

    ``folding``: whether the driver notices a COMMIT inside a text.
    """

    folding = True

    def folds(self, raw: Raw) -> bool:
        """Tell whether a token and COMMIT may be sent in one text."""
        return self.folding

    def codes(self, exc: BaseException) -> Codes:
        """Return what the exception carries."""
        return exc.code if isinstance(exc, Error) else (None, None, str(exc))

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Tell that the driver refused a closed connection."""
        return isinstance(exc, InterfaceError)

    def is_closed(self, raw: Raw) -> bool:
        """Tell what this side knows."""
        return raw.closed or raw.wire.broken

    def is_stale(self, raw: Raw) -> bool:
        """Tell that the end has arrived."""
        return raw.wire.broken or raw.wire.eof

    def session_id(self, raw: Raw) -> int | None:
        """Return the server's number of the session, told when it was opened."""
        return None if self.is_closed(raw) else raw.wire.number

    def abort(self, raw: Raw) -> bool:
        """Shut the socket down."""
        raw.wire.close()
        return True

    def in_transaction(self, raw: Raw) -> bool | None:
        """Tell what the server told last."""
        return None if self.is_closed(raw) else raw.in_transaction

    def failed_transaction(self, raw: Raw) -> bool:
        """Tell what the server told last."""
        return raw.failed


class Simulated(Told, LocalAutocommit):
    """The adapter for threads."""

    name = "simulated"
    family = None
    abilities = ABILITIES

    def __init__(self, servers: Servers) -> None:
        super().__init__(MODULE)
        self.packages = frozenset(("simulation",))
        self.servers = servers
        self.dialect = servers.family.dialect
        self.opened: list[Raw] = []
        self._serials = count()

    def connect(self, target: Target, timeout: float) -> Raw:
        """Connect; like a driver that knows no timeout."""
        node = next(node for node in self.servers.nodes if node.name == target.host)
        family = self.servers.family
        wire = dial(self.servers, node)
        if isinstance(wire, str):
            raise refusal(family, wire)
        raw = Raw(wire, next(self._serials), family.lost)
        self.opened.append(raw)
        return raw
