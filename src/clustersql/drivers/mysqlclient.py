"""mysqlclient (the module MySQLdb): the C library, which tells nothing about an open transaction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from ..errors import Form, numbered
from .base.adapter import Adapter, Codes, converted, no_dsn, server_arguments
from .base.mysql import TELLING, RememberedSocket, begin, by_tcp, use
from .base.surface import CONNECTION, CURSOR, surface
from .contract import Target

_NO_MORE = -1
"""What ``mysql_next_result`` returns at the end:
https://mariadb.com/docs/connectors/mariadb-connector-c/api-functions/mysql_next_result"""

_TLS = ("ca", "capath", "cert", "key", "cipher")
"""The keys of the driver's ``ssl`` mapping; a URL gives them one by one, as ``ssl_ca``."""


CONNECTION_NAMES = surface(
    tells=f"{TELLING} client_flag database db default_cursor encoding errno error escape_string field_count fileno"
    " get_character_set_info host info more_results open port server_capabilities sqlstate string_literal user"
    " warning_count messages executemany_fallback",
    asks="show_warnings stat",
    local="cursorclass",
    lent="converter encoders",
    mode="autocommit",
    pings="ping",
    runs={"begin": begin, "select_db": use},
    replaces="change_user",
    ours=CONNECTION,
    unmanaged="discard_result dump_debug_info kill next_result query read_query_result send_query set_character_set"
    " set_server_option set_sql_mode shutdown store_result use_result",
)
"""The driver's connection."""
CURSOR_NAMES = surface(
    tells="arraysize description description_flags executemany_fallback lastrowid max_multi_stmt_count"
    " max_multi_stmt_length max_stmt_length mogrify nextset rowcount rownumber scroll setinputsizes setoutputsizes"
    " warning_count",
    ours=CURSOR,
    unmanaged="callproc",
)
"""Its cursor."""


class MySQLClient(RememberedSocket, Adapter):
    """Adapter for mysqlclient.  ``in_transaction`` is never known: a pooled connection is always rolled back on its
    return.
    """

    name = "mysqlclient"
    form = Form(args=numbered(0))
    leaving = "close"
    connection_names = CONNECTION_NAMES
    cursor_names = CURSOR_NAMES
    keywords = ("query", "args", "args")
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connect_timeout": int,
        "read_timeout": int,
        "write_timeout": int,
        "client_flag": int,
        "autocommit": bool,
        "use_unicode": bool,
        "compress": bool,
        "local_infile": bool,
        "binary_prefix": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect.  ``timeout`` in seconds, rounded up to whole ones: the C library knows no other."""
        no_dsn(self.name, target)
        arguments = {"connect_timeout": max(1, math.ceil(timeout))} | server_arguments(by_tcp(target))
        arguments |= _with_tls(converted(target.arguments, self.numbers))
        raw = self.module.connect(**arguments)
        self._numbers[raw] = raw.thread_id()
        self.remember(raw)
        return raw

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """2006 without a text is raised for a connection that was closed on this side; a server that went has a
        text.
        """
        return exc.args == (2006, "")

    def descriptor(self, raw: Any) -> int | None:
        """Return the C library's; a closed connection refuses to tell, and so does one that another thread uses
        (2.3).
        """
        try:
            descriptor: int = raw.fileno()
        except self.module.ProgrammingError:
            return self._sockets.get(raw, (None, 0))[0]
        except self.module.Error:
            return None
        return descriptor if descriptor >= 0 else None

    def is_given_up(self, raw: Any) -> bool:
        """The flag: to every other question the driver refuses an answer while another thread is in a call."""
        return not raw.open

    def is_closed(self, raw: Any) -> bool:
        """Tell whether it was closed here, or the C library dropped its socket."""
        return not raw.open or self.descriptor(raw) is None

    def session_id(self, raw: Any) -> int | None:
        """Return the server's thread id; as it was at connect while another thread is in a call, for then the driver
        does not tell.
        """
        try:
            number: int = raw.thread_id()
        except self.module.Error:
            return self._numbers.get(raw)
        return number

    def autocommit(self, raw: Any) -> bool | None:
        """Tell the server's flag; None: closed."""
        try:
            return bool(raw.get_autocommit())
        except self.module.Error:
            return None

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        if self.autocommit(raw) is not on:
            raw.autocommit(on)

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Ask for the next result: there is none, without a word to the server, where everything was read; else the C
        library refuses.
        """
        try:
            return bool(raw.next_result() != _NO_MORE)
        except self.module.Error:
            return True

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Past the cursor, which keeps what it has of the first result."""
        while raw.next_result() != _NO_MORE:
            raw.discard_result()

    def reads_later(self, cursor: Any) -> bool:
        """Those that do not store their result."""
        return isinstance(cursor, self.module.cursors.CursorUseResultMixIn)

    def cursor(self, raw: Any) -> Any:
        """Return a plain cursor."""
        return self.module.cursors.Cursor(raw)


def _with_tls(arguments: dict[str, Any]) -> dict[str, Any]:
    """Gather ``ssl_ca`` and the like in the mapping that the driver takes."""
    given = {key: arguments.pop(f"ssl_{key}") for key in _TLS if f"ssl_{key}" in arguments}
    return arguments | {"ssl": given | dict(arguments.get("ssl") or {})} if given else arguments


def adapter(module: Any) -> MySQLClient:
    """Return the adapter over ``module``."""
    import_module(f"{module.__name__}.cursors")  # MySQLdb imports it only when the first connection is made
    return MySQLClient(module)
