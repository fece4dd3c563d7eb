"""mariadb (MariaDB Connector/Python): the C library, whose socket and status are at hand.

It holds the global lock while it reads rows, so a call that hangs there cannot be woken by anyone (docs/support.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from ..errors import GENERAL, ConfigError, Form
from .base.adapter import Adapter, Codes, converted, no_dsn, server_arguments
from .base.mysql import IN_TRANSACTION, MORE_RESULTS, RememberedSocket, begin, by_tcp, use
from .base.surface import CONNECTION, CURSOR, ERRORS, surface
from .contract import Target

_RAISED = "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = ?, MESSAGE_TEXT = ?"
"""Has the server raise an error once more, for the driver to make its exception of; a text is cut off at 128
characters."""

CONNECTION_NAMES = surface(
    tells=f"{ERRORS} PoolError character_set character_set_name client_capabilities collation connection_id database"
    " dsn escape_string extended_server_capabilities get_server_version open server_capabilities server_info"
    " server_name server_port server_status server_version server_version_info thread_id tls_cipher"
    " tls_peer_cert_info tls_version tpc_state unix_socket user warnings xid",
    asks="show_warnings",
    mode="autocommit",
    pings="ping reconnect",
    runs={"begin": begin, "select_db": use},
    replaces="auto_reconnect change_user connect reset",
    ours=CONNECTION,
    unmanaged="dump_debug_info kill socket tpc_begin tpc_commit tpc_prepare tpc_recover tpc_rollback",
)
"""The driver's connection."""
CURSOR_NAMES = surface(
    tells="affected_rows arraysize buffered check_closed closed description fetchrows field_count insert_id lastrowid"
    " metadata next nextset paramcount rowcount rownumber scroll setinputsizes setoutputsize sp_outparams statement"
    " warnings",
    ours=CURSOR,
    unmanaged="callproc",
)
"""Its cursor."""


class MariaDB(RememberedSocket, Adapter):
    """Adapter for MariaDB Connector/Python."""

    name = "mariadb"
    form = Form(fields={"errno": 0, "sqlstate": GENERAL}, texts=("msg", "errmsg"))
    leaving = "close"
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    keywords = ("statement", "data", "parameters")
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connect_timeout": int,
        "read_timeout": int,
        "write_timeout": int,
        "autocommit": bool,
        "compress": bool,
        "local_infile": bool,
        "reconnect": bool,
        "ssl": bool,
        "ssl_verify_cert": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._first: WeakKeyDictionary[Any, tuple[str, str, str]] = WeakKeyDictionary()

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds, rounded up to whole ones: the C library knows no other.

        Raises ConfigError for ``reconnect``.
        """
        no_dsn(self.name, target)
        given = converted(target.arguments, self.numbers)
        if given.get("reconnect"):
            raise ConfigError(
                f"{self.name}: reconnect=True would replace a lost session unseen, in the middle of a transaction too;"
                " leave it out, the cluster connects again"
            )
        waiting = {"connect_timeout": max(1, math.ceil(timeout))}
        raw = self.module.connect(**waiting | server_arguments(by_tcp(target)) | given)
        raw.auto_reconnect = False  # a default_file may ask for it too
        self.remember(raw)
        if "init_command" not in given:  # else the connection is closed rather than reset: what it had set is not known
            self._first[raw] = raw.database, raw.character_set, raw.collation
        return raw

    def codes(self, exc: BaseException) -> Codes:
        """Return its attributes; what the driver itself refuses has neither number nor state."""
        return getattr(exc, "sqlstate", None), getattr(exc, "errno", None) or None, str(exc)

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Every method looks first whether the connection was closed on this side; only then there is no number."""
        return codes == (None, None, "Invalid connection or not connected")

    def descriptor(self, raw: Any) -> int | None:
        """Return the C library's; a closed connection refuses to tell, and one that broke has none.

        Not by the attribute ``socket``: that makes an object which closes the same descriptor once more.
        """
        try:
            descriptor: int = raw._get_socket()
        except self.module.Error:
            return None
        return descriptor if descriptor >= 0 else None

    def is_closed(self, raw: Any) -> bool:
        """Tell whether it was closed here, or the C library dropped its socket."""
        return self.descriptor(raw) is None

    def in_transaction(self, raw: Any) -> bool | None:
        """Believe the server's flag only where it says yes.

        It comes with results, not with errors: a first statement that failed, or a procedure, may have opened a
        transaction.
        """
        return True if not self.is_closed(raw) and raw.server_status & IN_TRANSACTION else None

    def session_id(self, raw: Any) -> int | None:
        """Return the server's thread id."""
        return None if self.is_closed(raw) else raw.connection_id

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Tell from the server's flag; of an unbuffered cursor that was not closed nobody can tell, so it counts as
        unread.
        """
        if self.is_closed(raw) or raw.server_status & MORE_RESULTS:
            return True
        return any(not (cursor.closed or cursor.buffered) and cursor.field_count for cursor in cursors)

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Go from result to result.  Where one is an error the driver says that there is none, and only the server
        tells what it was.
        """
        promised = raw.server_status & MORE_RESULTS
        while promised and cursor.nextset():
            promised = raw.server_status & MORE_RESULTS
        if promised:
            with raw.cursor() as asking:
                asking.execute("SHOW ERRORS")
                for _, number, text in asking.fetchall()[:1]:
                    asking.execute(_RAISED, (number, text[:128]))

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the server's flag; None: closed."""
        try:
            return bool(raw.autocommit)
        except self.module.Error:
            return None

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        raw.autocommit = on

    def reads_later(self, cursor: Any) -> bool:
        """Those that are not buffered."""
        return not cursor.buffered

    def reset(self, raw: Any) -> bool:
        """Reset the session by the C library's own call; the database, which that leaves as it is, is the one of the
        connect.
        """
        database, charset, collation = self._first.get(raw, ("", "", ""))
        if not database:
            return False
        raw.reset()
        self.ask(raw, (f"SET NAMES {charset} COLLATE {collation}", f"USE `{database}`"))
        return True


def adapter(module: Any) -> MariaDB:
    """Return the adapter over ``module``."""
    return MariaDB(module)
