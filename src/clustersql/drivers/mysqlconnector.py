"""mysql-connector-python (the module mysql.connector), always its pure Python: the C extension hides its socket.

Whether that extension can be loaded at all depends on who loaded another OpenSSL into the process before, ``import
ssl`` for one; the driver chooses silently.  So ``use_pure`` is always given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar

from ..errors import ConfigError, Form
from .base import sockets
from .base.adapter import Adapter, Codes, converted, no_dsn, server_arguments
from .base.mysql import MySQLReader, use
from .base.surface import CONNECTION, CURSOR, surface
from .contract import Target

_TIMEOUTS = ("ConnectionTimeoutError", "ReadTimeoutError", "WriteTimeoutError")
_NO_ANSWER = ("MySQL Connection not available", "Connection to MySQL is not available")
"""What it says when its own ping failed: that of ``cursor()``, and `MySQLConnection.ping`."""
_UNREAD = "Unread result found"
"""Why it has not asked at all."""
_LOST = 2013
"""CR_SERVER_LOST: https://dev.mysql.com/doc/mysql-errors/en/client-error-reference.html."""


def _three(text: str, cause: BaseException | None) -> tuple[Any, ...]:
    return getattr(cause, "errno", -1), text, getattr(cause, "sqlstate", None)


def _start_transaction(
    consistent_snapshot: bool = False, isolation_level: str | None = None, readonly: bool | None = None
) -> str:
    """What it runs in the end; a level that it sets before that ends with the transaction too."""
    return "START TRANSACTION"


CONNECTION_NAMES = surface(
    tells="charset charset_id client_flags collation connection_id get_server_info get_server_version"
    " have_next_result in_transaction is_secure isset_client_flag otel_context_propagation pool_config_version"
    " query_attrs server_host server_info server_port server_version unix_socket unread_result user",
    asks="cmd_ping cmd_statistics is_connected",
    local="can_consume_results converter converter_class get_warnings raise_on_warnings read_timeout use_unicode"
    " write_timeout",
    sets={"set_converter_class": ("converter", "converter_class")},
    mode="autocommit",
    pings="ping reconnect",
    runs={"start_transaction": _start_transaction, "cmd_init_db": use},
    replaces="cmd_change_user cmd_reset_connection config connect reset_session",
    ends="cmd_quit disconnect shutdown",
    ours=CONNECTION,
    # Those without parentheses ask the server each time, or set something there.
    unmanaged="cmd_debug cmd_process_info cmd_process_kill cmd_query cmd_query_iter cmd_refresh cmd_shutdown"
    " cmd_stmt_close cmd_stmt_execute cmd_stmt_fetch cmd_stmt_prepare cmd_stmt_reset cmd_stmt_send_long_data"
    " consume_results database get_row get_rows get_self handle_unread_result info_query python_charset"
    " query_attrs_append query_attrs_clear query_attrs_remove set_allow_local_infile_in_path set_charset_collation"
    " set_client_flags set_login set_unicode sql_mode time_zone",
)
"""The driver's connection."""
CURSOR_NAMES = surface(
    tells="add_attribute arraysize clear_attributes column_names description fetchsets fetchwarnings get_attributes"
    " lastrowid nextset read_timeout remove_attribute rowcount setinputsizes setoutputsize statement stored_results"
    " warning_count warnings with_rows write_timeout",
    ours=CURSOR,
    unmanaged="callproc reset",
)
"""Its cursor."""


class MySQLConnector(MySQLReader, Adapter):
    """Adapter for MySQL Connector/Python.  Its ``cursor()`` pings the server, so that a lost connection may show
    there.
    """

    name = "mysql-connector"
    form = Form(args=_three, texts=("msg", "_full_msg"))
    abilities = replace(MySQLReader.abilities, cursor_asks=True)
    leaving = "close"
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    keywords = ("operation", "params", "seq_params")
    buffering: Mapping[str, Any] = MappingProxyType({"buffered": True})
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connection_timeout": float,
        "connect_timeout": float,
        "read_timeout": int,
        "write_timeout": int,
        "client_flags": int,
        "autocommit": bool,
        "use_unicode": bool,
        "use_pure": bool,
        "buffered": bool,
        "raw": bool,
        "consume_results": bool,
        "get_warnings": bool,
        "raise_on_warnings": bool,
        "compress": bool,
        "force_ipv6": bool,
        "allow_local_infile": bool,
        "converter_str_fallback": bool,
        "ssl_disabled": bool,
        "ssl_verify_cert": bool,
        "ssl_verify_identity": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._plain = import_module(f"{module.__name__}.cursor").MySQLCursorBuffered
        self._timeouts = tuple(getattr(module.errors, name) for name in _TIMEOUTS if hasattr(module.errors, name))

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds bounds each wait for the handshake; the driver ends it when it has
        connected.

        Raises ConfigError where the C extension is asked for.
        """
        no_dsn(self.name, target)
        given = converted(target.arguments, self.numbers)
        if not given.get("use_pure", True):
            raise ConfigError(
                f"{self.name}: use_pure=False asks for the C extension, which tells nobody its socket: a call that"
                " hangs on a frozen node could not be woken; leave it out, or use the driver mysqlclient or mariadb"
            )
        waiting = {} if "connect_timeout" in given else {"connection_timeout": timeout}
        raw = self.module.connect(**waiting | server_arguments(target) | given | {"use_pure": True})
        if not target.unix_socket and (descriptor := self.descriptor(raw)) is not None:
            sockets.keep_alive(descriptor)
        raw._sql_mode_at_connect = raw._sql_mode  # for `reset`
        return raw

    def codes(self, exc: BaseException) -> Codes:
        """Return its attributes; -1 stands for no number.

        A timeout of the driver's own carries 3024, with which a server says that it ended a statement: but here nobody
        has, and its answer would come as the next one's.  The ping of ``cursor()`` that had no answer carries nothing,
        and neither does one that was not sent because rows are unread.
        """
        message = getattr(exc, "msg", None) or str(exc)
        unasked = getattr(exc.__cause__, "msg", None) == _UNREAD
        lost = isinstance(exc, self._timeouts) or (message in _NO_ANSWER and not unasked)
        number = _LOST if lost else getattr(exc, "errno", None)
        return getattr(exc, "sqlstate", None), number if number and number > 0 else None, str(message)

    def descriptor(self, raw: Any) -> int | None:
        """Return the socket's; a closed one has none."""
        sock = getattr(raw._socket, "sock", None)
        descriptor = -1 if sock is None else sock.fileno()
        return None if descriptor < 0 else descriptor

    def is_closed(self, raw: Any) -> bool:
        """Tell whether it was closed here; the driver keeps a socket that broke, which `is_stale` sees."""
        return self.descriptor(raw) is None

    def in_transaction(self, raw: Any) -> bool | None:
        """Believe the server's flag only where it says yes.

        It comes with results, not with errors: a first statement that failed, or a procedure, may have opened a
        transaction.
        """
        return True if raw.in_transaction and not self.is_closed(raw) else None

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Tell what the driver knows; it would take what is left for the answer to whatever is sent next."""
        return bool(raw.unread_result or raw._have_next_result)

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Past the cursor, as the driver's ``cmd_query_iter`` does: its ``commit`` and its ``close`` take no notice of
        further results.
        """
        while raw._have_next_result:
            raw.handle_unread_result()
            raw._handle_result(raw._socket.recv())
            if raw.unread_result:
                raw.get_rows()

    def session_id(self, raw: Any) -> int | None:
        """Return the server's thread id."""
        return raw.connection_id or None

    def autocommit(self, raw: Any) -> bool | None:
        """Return the mode that the driver set last: its public attribute asks the server."""
        return bool(raw._autocommit)

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        if self.autocommit(raw) is not on:
            raw.autocommit = on

    def reset(self, raw: Any) -> bool:
        """Reset the session by the driver's own call, which sets again what it sets at connect; False: the server does
        not know it.

        It also keeps the ``sql_mode`` that it read when it first quoted a parameter, and would set that again: the last
        caller's.
        """
        raw._sql_mode = raw._sql_mode_at_connect
        if not raw._database or not raw.cmd_reset_connection():
            return False
        raw.cmd_init_db(raw._database)
        return True

    def ping(self, raw: Any) -> Any:
        """Ask only: asked for more it would connect again."""
        return raw.ping(reconnect=False)

    def reads_later(self, cursor: Any) -> bool:
        """All but the buffered ones."""
        return not isinstance(cursor, self._plain)

    def cursor(self, raw: Any) -> Any:
        """Return a plain cursor, made without the ping."""
        return self._plain(raw)


def adapter(module: Any) -> MySQLConnector:
    """Return the adapter over ``module``."""
    return MySQLConnector(module)
