"""psycopg 3.  libpq knows the transaction's status and the descriptor, and tells what the server pushes.

`PsycopgReader` is the same for both APIs of the driver; `psycopg_async` has the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..core.faults import Fault
from ..core.view.node import Role
from ..errors import ConfigError, Form
from .base import sockets
from .base.adapter import LocalAutocommit
from .base.libpq import libpq_defaults, libpq_fields
from .base.reader import BaseDriver, Codes
from .base.surface import CONNECTION, CURSOR, ERRORS, Effect, surface
from .contract import Abilities, Target

REVALIDATES = "RevalidateCachedQuery"
"""PostgreSQL's function that refuses a plan whose rows have other columns by now."""

_OK, _IDLE, _IN_ERROR, _UNKNOWN = 0, 0, 3, 4  # libpq's ConnStatusType and PGTransactionStatusType


CONNECTION_NAMES = surface(
    # Its own helpers ask a context for its `connection`: for the encoding, for quoting.
    tells=f"{ERRORS} broken closed connection fileno info lock xid",
    local="cursor_factory deferrable isolation_level prepare_threshold prepared_max row_factory server_cursor_factory",
    access="read_only",
    sets={
        "set_deferrable": ("deferrable",),
        "set_isolation_level": ("isolation_level",),
        "set_read_only": ("read_only",),
    },
    lent="adapters",
    registers="add_notice_handler",
    mode="autocommit set_autocommit",
    handle="pgconn",
    below=dict.fromkeys(("reset", "reset_start", "reset_poll", "connect_start", "connect_poll"), Effect.REPLACES)
    | dict.fromkeys(("parameter_status", "get_error_message", "is_busy"), Effect.TELLS),
    replaces="connect",
    ours=f"{CONNECTION} execute transaction",
    unmanaged="add_notify_handler cancel cancel_safe notifies pipeline remove_notice_handler remove_notify_handler"
    " tpc_begin tpc_commit tpc_prepare tpc_recover tpc_rollback wait",
)
"""psycopg's connection, of either API."""
CURSOR_NAMES = surface(
    tells="adapters arraysize closed description format itersize mogrify name nextset pgresult results row_factory"
    " rowcount rownumber scroll scrollable set_result setinputsizes setoutputsize statusmessage withhold",
    ours=CURSOR,
    unmanaged="copy stream",
)
"""Its cursors."""


class PsycopgReader(BaseDriver):
    """What psycopg 3 tells without a round trip, whichever of its APIs is used."""

    name = "psycopg"
    family = "postgresql"
    dialect_name = "postgresql"
    abilities = Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True, shared=True)
    form = Form(unsent=("pgconn", "_pgconn", "pgresult", "_info"))
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    keywords = ("query", "params", "params_seq")

    def arguments(self, target: Target, timeout: float) -> dict[str, Any]:
        """Return what goes to ``connect`` besides the DSN.  ``timeout`` in seconds, rounded up, at least 2."""
        fields = libpq_fields(target) | dict(target.arguments)
        if target.shared:
            fields["prepare_threshold"] = None  # what is prepared in one session would be asked for in another
        given = self._dsn_keywords(target.dsn or "") | fields
        return {name: value for name, value in libpq_defaults(timeout).items() if name not in given} | fields

    def _dsn_keywords(self, dsn: str) -> dict[str, Any]:
        try:
            keywords: dict[str, Any] = self.module.conninfo.conninfo_to_dict(dsn)
        except self.module.ProgrammingError:  # its text repeats a part of the DSN, which may be the password
            raise ConfigError("psycopg: the dsn is no valid libpq connection string") from None
        return keywords

    def text(self, operation: Any, raw: Any) -> str | None:
        """Return the text of composed SQL (and of a template string); None: it is none, or cannot be told."""
        sql = self.module.sql
        if not isinstance(operation, sql.Composable) and type(operation).__name__ != "Template":
            return None
        text: str = sql.as_string(operation, raw)
        return text

    def put(self, raw: Any, name: str, value: Any) -> None:
        """Set a name; what would be awaited otherwise, though it sends nothing, by the generator that is driven
        there.
        """
        if name == "adapters":
            raw._adapters = value
        elif name in ("deferrable", "isolation_level", "read_only"):
            for _ in getattr(raw, f"_set_{name}_gen")(value):
                raise self.module.ProgrammingError(f"{name} cannot be set now")
        else:
            setattr(raw, name, value)

    def lend(self, raw: Any, name: str) -> Any:
        """Put a copy of the types' adapters in their place."""
        adapters = raw._adapters
        raw._adapters = self.module.adapt.AdaptersMap(raw.adapters)
        return adapters

    def undo(
        self, raw: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], object] | None:
        """Return what takes a notice's handler away."""
        return partial(raw.remove_notice_handler, *args, **kwargs)

    def codes(self, exc: BaseException) -> Codes:
        """SQLSTATE where the server gave one; a connection that died gives only text."""
        return getattr(exc, "sqlstate", None), None, str(exc)

    def stale(self, exc: BaseException) -> Fault | None:
        """PostgreSQL has one SQLSTATE for all that it does not support; its text is in the server's language, its
        function is not.
        """
        diag = getattr(exc, "diag", None)
        refused = getattr(exc, "sqlstate", None) == "0A000" and getattr(diag, "source_function", None) == REVALIDATES
        return Fault.STALE_PLAN if refused else None

    def forget_plans(self, raw: Any) -> None:
        """Do what psycopg does after a rollback only; it drops them on the server before its next statement."""
        prepared = getattr(raw, "_prepared", None)
        if prepared is not None:
            prepared.clear()

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Raised by ``_check_connection_ok`` before anything is written."""
        return codes[0] is None and codes[2] == "the connection is closed"

    def _is_lost(self, fault: Fault | None, codes: Codes, exc: BaseException, raw: Any) -> bool:
        """Also when libpq cannot leave its pipeline mode: ``executemany`` broke off, and what the server did with the
        rest was not read.
        """
        return codes[2].startswith("cannot exit pipeline mode") or super()._is_lost(fault, codes, exc, raw)

    def descriptor(self, raw: Any) -> int | None:
        """Return libpq's socket."""
        try:
            descriptor: int = raw.pgconn.socket
        except self.module.OperationalError:  # closed
            return None
        return descriptor if descriptor >= 0 else None

    def is_closed(self, raw: Any) -> bool:
        """Ask libpq, which remembers."""
        return raw.pgconn.status != _OK  # type: ignore[no-any-return]

    def is_stale(self, raw: Any) -> bool:
        """Look at what can be read: a notification for LISTEN is no death and stays for the user, an error is.

        Over TLS the waiting bytes cannot be read from outside; libpq then takes them in and finds the end of file.
        """
        try:
            descriptor = raw.pgconn.socket
        except self.module.OperationalError:  # closed
            return True
        if not sockets.is_readable(descriptor):
            return False
        if not raw.pgconn.ssl_in_use and not sockets.only_news(sockets.peek(descriptor)):
            return True
        return self._took_in_the_end(raw, descriptor)

    def _took_in_the_end(self, raw: Any, descriptor: int) -> bool:
        """Take in what waits; what waits behind it can only be the end of file."""
        try:
            raw.pgconn.consume_input()
        except self.module.OperationalError:
            return True
        return raw.pgconn.status != _OK or sockets.is_readable(descriptor)

    def session_id(self, raw: Any) -> int | None:
        """Return the backend's pid; a connection that was closed, as after a second cancellation, refuses to tell."""
        return None if self.is_closed(raw) else raw.pgconn.backend_pid or None

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell libpq's status; a statement in progress counts as yes."""
        status = raw.pgconn.transaction_status
        return None if status == _UNKNOWN else status != _IDLE

    def folds(self, raw: Any) -> bool:
        """Not inside its own ``transaction()``, in two phases or in a pipeline: its commit would refuse, or
        be queued.
        """
        return not (
            getattr(raw, "_num_transactions", 1) or getattr(raw, "_tpc", None) or getattr(raw, "_pipeline", None)
        )

    def folded(self, raw: Any, text: str) -> Any:
        """Yield what the driver waits for, until ``text`` is answered: one string in the simple protocol, whose results
        nobody reads.

        By a cursor it would cost twice as much, and take a place among the statements that psycopg counts to prepare
        them.
        """
        raw.pgconn.send_query(text.encode())
        last = (yield from self.module.generators.execute(raw.pgconn))[-1]
        if last.status != self.module.pq.ExecStatus.COMMAND_OK:
            raise self.module.errors.error_from_result(last, encoding=raw.pgconn._encoding)
        if last.command_status == b"ROLLBACK":
            raise self.module.OperationalError("the server rolled back instead of committing")

    def failed_transaction(self, raw: Any) -> bool:
        """Tell from libpq's status."""
        return raw.pgconn.transaction_status == _IN_ERROR  # type: ignore[no-any-return]

    def autocommit(self, raw: Any) -> bool | None:
        """Return the autocommit mode."""
        return bool(raw.autocommit)

    def pushed_role(self, raw: Any) -> Role | None:
        """Tell from what PostgreSQL 14 and later report at connect and at the next answer after a change.

        A session that is read-only by default tells nothing: that may be our own doing.
        """
        standby = raw.pgconn.parameter_status(b"in_hot_standby")
        if standby == b"on":
            return Role.REPLICA
        read_only = raw.pgconn.parameter_status(b"default_transaction_read_only")
        return Role.PRIMARY if standby == b"off" and read_only == b"off" else None


def forget_prepared(raw: Any) -> bool:
    """Tell psycopg that DISCARD ALL has dropped what it had prepared, which it does not notice; False: it keeps that
    elsewhere by now.

    The next statement of the same text would be "prepared statement does not exist".  (``clear`` alone has it send
    DEALLOCATE ALL as well.)
    """
    prepared = getattr(raw, "_prepared", None)
    if prepared is None or not hasattr(prepared, "_to_flush"):
        return False
    prepared.clear()
    prepared._to_flush.clear()
    return True


def _not_asked(*_: Any, **__: Any) -> None:
    """Stand in for psycopg's cancel, which it calls while it handles the interruption: raise that at once."""
    raise


class Psycopg(PsycopgReader, LocalAutocommit):
    """Adapter for psycopg 3."""

    leaving = "commit-close"

    def set_read_only(self, raw: Any, on: bool) -> None:
        """Let psycopg begin its transactions so."""
        raw.read_only = on or None

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds, rounded up, at least 2."""
        return self.module.connect(target.dsn or "", **self.arguments(target, timeout))

    def reset(self, raw: Any) -> bool:
        """DISCARD ALL."""
        return super().reset(raw) and forget_prepared(raw)

    def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """Not prepared, however often: each token's text is another one."""
        with self.cursor(raw) as cursor:
            cursor.execute(statement, prepare=False)
            return list(cursor.fetchall()) if cursor.description else []

    def commit_folded(self, raw: Any, text: str) -> None:
        """Run a text that ends with COMMIT, by the driver's own way of waiting."""
        with raw.lock:
            raw.wait(self.folded(raw, text))

    def to_the_end(self, raw: Any, call: Callable[[], Any]) -> Any:
        """Call ``call``, a COMMIT, which Ctrl-C must not end at the server.

        Interrupted, psycopg would ask the server to cancel, and that ends a COMMIT's wait for its synchronous standby:
        everybody would see its rows, though one server only has them.  The connection is closed then anyway.
        """
        raw._try_cancel = _not_asked
        try:
            return call()
        finally:
            vars(raw).pop("_try_cancel", None)

    def cursor(self, raw: Any) -> Any:
        """Return a plain cursor with rows as tuples."""
        return self.module.Cursor(raw, row_factory=self.module.rows.tuple_row)


def adapter(module: Any) -> Psycopg:
    """Return the adapter over ``module``."""
    return Psycopg(module)
