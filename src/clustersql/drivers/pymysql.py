"""PyMySQL: pure Python, so that the socket is at hand; it has no deadline for the handshake, and a flag that forgets.

`PyMySQLReader` is the same for the asyncio drivers that were made from it: aiomysql and asyncmy.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, ClassVar

from ..errors import Form, numbered
from .base import sockets
from .base.adapter import Adapter
from .base.mysql import IN_TRANSACTION, TELLING, MySQLReader, begin, in_utf8, use
from .base.reader import Codes, converted, no_dsn, server_arguments
from .base.surface import CONNECTION, CURSOR, surface
from .contract import Target

RESET_CONNECTION = 0x1F
"""COM_RESET_CONNECTION (MySQL 5.7.3, MariaDB 10.2.4), which these drivers have no method for.  It leaves the database
as it is, and brings back the server's character set and autocommit mode:
https://dev.mysql.com/doc/c-api/8.4/en/mysql-reset-connection.html"""


CONNECTION_NAMES = surface(
    tells=f"{TELLING} bind_address charset client_flag collation db encoding host host_info open password port"
    " protocol_version salt server_capabilities server_charset server_language server_public_key server_status"
    " server_thread_id server_version ssl unix_socket use_unicode user",
    asks="show_warnings",
    # The reset executes init_command and sql_mode again: put back first, they are the pool's own there.
    local="autocommit_mode connect_timeout cursorclass init_command max_allowed_packet sql_mode",
    lent="decoders encoders",
    mode="autocommit",
    pings="ping",
    runs={"begin": begin, "select_db": use},
    replaces="connect",
    ours=CONNECTION,
    unmanaged="kill next_result query set_character_set set_charset write_packet",
)
"""PyMySQL's connection."""
CURSOR_NAMES = surface(
    tells="arraysize description lastrowid max_stmt_length mogrify nextset rowcount rownumber setinputsizes"
    " setoutputsizes warning_count scroll",
    ours=CURSOR,
    unmanaged="callproc",
)
"""Its cursor, and that of aiomysql and asyncmy."""


class PyMySQLReader(MySQLReader):
    """What PyMySQL, and what was made from it, tells without a round trip."""

    form = Form(args=numbered(0))
    refusals: Container[tuple[Any, ...]] = ((0, ""),)
    """Arguments of the InterfaceError that says "closed" before a byte is written."""

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """InterfaceError is raised by ``_execute_command`` and ``_ensure_alive`` where there is no socket any more."""
        return isinstance(exc, self.interface_error) and exc.args in self.refusals

    def in_transaction(self, raw: Any) -> bool | None:
        """Believe the server's flag only where it says yes.

        The driver reads the flag from OK packets only, not from the end of a result: after a SELECT that opened a
        transaction it is still false.  No error packet has it: in autocommit mode too a procedure that failed may have
        opened one.
        """
        return True if not self.is_closed(raw) and raw.server_status & IN_TRANSACTION else None

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the server's flag."""
        return bool(raw.get_autocommit())

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Tell from the latest result, which says whether rows of it, or another result, are to come."""
        result = raw._result
        return result is not None and bool(result.unbuffered_active or result.has_next)

    def cut_off(self, raw: Any) -> None:
        """Let no result wait for its rows: the collector would read them, and raise."""
        super().cut_off(raw)
        self._let_go(raw)

    def _let_go(self, raw: Any) -> None:
        if raw._result is not None:
            raw._result.unbuffered_active = False
            raw._result = None

    def session_id(self, raw: Any) -> int | None:
        """Return the server's thread id."""
        return raw.thread_id()  # type: ignore[no-any-return]


class PyMySQL(PyMySQLReader, Adapter):
    """Adapter for PyMySQL."""

    name = "pymysql"
    leaving = "close"
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    keywords = ("query", "args", "args")
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connect_timeout": float,
        "read_timeout": float,
        "write_timeout": float,
        "client_flag": int,
        "max_allowed_packet": int,
        "autocommit": bool,
        "use_unicode": bool,
        "local_infile": bool,
        "binary_prefix": bool,
        "ssl_disabled": bool,
        "ssl_verify_cert": bool,
        "ssl_verify_identity": bool,
    }

    def close(self, raw: Any) -> None:
        """Close quietly: no result of it that something broke into is read by the collector."""
        self._let_go(raw)
        super().close(raw)

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds also bounds each wait for the handshake.

        The driver's connect_timeout ends with the TCP connect: a frozen server whose kernel still accepts would hold us
        for ever.  So its read timeout guards the handshake, and the user's own (or none) takes its place afterwards.
        """
        no_dsn(self.name, target)
        given = converted(target.arguments, self.numbers)
        arguments = {"connect_timeout": timeout} | server_arguments(target) | given
        reading, writing = arguments.get("read_timeout"), arguments.get("write_timeout")
        patience = arguments["connect_timeout"] or timeout
        arguments |= {
            "read_timeout": min(reading or patience, patience),
            "write_timeout": min(writing or patience, patience),
        }
        raw = self.module.connect(**in_utf8(arguments))
        raw._read_timeout, raw._write_timeout = reading, writing  # the driver compares and applies them at each call
        if not target.unix_socket and (descriptor := self.descriptor(raw)) is not None:
            sockets.keep_alive(descriptor)
        return raw

    def descriptor(self, raw: Any) -> int | None:
        """Return the socket's; a closed one has none."""
        sock = raw._sock
        descriptor = -1 if sock is None else sock.fileno()
        return None if descriptor < 0 else descriptor

    def is_closed(self, raw: Any) -> bool:
        """The driver drops its socket when anything goes wrong on it."""
        return not raw.open

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        raw.autocommit(on)

    def reset(self, raw: Any) -> bool:
        """Reset the session, and set what the driver sets at connect; False: there was no database, and none cannot be
        chosen again.
        """
        if not raw.db:
            return False
        raw._execute_command(RESET_CONNECTION, b"")
        raw._read_ok_packet()
        raw.set_character_set(raw.charset, raw.collation)
        raw.select_db(raw.db)
        with self.cursor(raw) as cursor:
            if raw.sql_mode is not None:
                cursor.execute("SET sql_mode=%s", (raw.sql_mode,))
            if raw.init_command is not None:
                cursor.execute(raw.init_command)
                raw.commit()
        return True

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Past the cursor, which keeps what it has of the first result."""
        while raw._result is not None and raw._result.has_next:
            raw.next_result()

    def ping(self, raw: Any) -> Any:
        """Ask only: it would connect again by itself, where its version does so unasked too."""
        return raw.ping(reconnect=False)

    def reads_later(self, cursor: Any) -> bool:
        """Its unbuffered cursor, and what is made from it."""
        return isinstance(cursor, self.module.cursors.SSCursor)

    def cursor(self, raw: Any) -> Any:
        """Return a plain cursor."""
        return self.module.cursors.Cursor(raw)


def adapter(module: Any) -> PyMySQL:
    """Return the adapter over ``module``."""
    return PyMySQL(module)
