"""aiomysql: PyMySQL's protocol over asyncio's streams.

A cancelled call closes the connection (``_close_on_cancel``): the statement may go on at the server, which learns of
the end when it answers.  So may a cancelled COMMIT.  Reading catches a cancellation to close, and raises it again
(``_read_packet``), so no call but connecting, which waits by `asyncio.wait_for`, returns as if it had not been
cancelled.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..errors import ConfigError
from .base import transports
from .base.async_adapter import AsyncAdapter
from .base.foreign import packages_of
from .base.mysql import TELLING, begin, in_utf8, use
from .base.reader import SAME_NAMES, converted, no_dsn, server_arguments
from .base.surface import CONNECTION, ERRORS, surface
from .contract import Target
from .pymysql import CURSOR_NAMES, RESET_CONNECTION, PyMySQLReader

_TLS_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
_TLS = (*_TLS_FILES, "ssl_verify_cert", "ssl_verify_identity")


CONNECTION_NAMES = surface(
    tells=f"{TELLING} charset client_flag closed connected_time db echo encoding escape_string get_transaction_status"
    " host host_info last_usage loop port protocol_version salt server_capabilities server_charset server_language"
    " server_public_key server_status server_thread_id server_version unix_socket use_unicode user"
    " caching_sha2_password_auth sha256_password_auth first transport",
    asks="show_warnings",
    local="autocommit_mode connect_timeout cursorclass init_command sql_mode",
    lent="decoders encoders",
    mode="autocommit",
    pings="ping",
    runs={"begin": begin, "select_db": use},
    ends="ensure_closed",
    ours=CONNECTION,
    unmanaged="kill next_result query set_charset write_packet",
)
"""aiomysql's connection."""


class AioMySQL(PyMySQLReader, AsyncAdapter):
    """Adapter for aiomysql, and base of its fork's: `names` and what begins with an underscore differ."""

    name = "aiomysql"
    refusals: Container[tuple[Any, ...]] = (("(0, 'Not connected')",), ("Cancelled during execution",))
    names: ClassVar[Mapping[str, str]] = {**SAME_NAMES, "database": "db"}
    connection_names = CONNECTION_NAMES
    cursor_names = replace(CURSOR_NAMES, effects=CURSOR_NAMES.effects | surface(tells=f"{ERRORS} closed echo").effects)
    keywords = ("query", "args", "args")
    numbers: ClassVar[dict[str, type]] = {
        "port": int,
        "connect_timeout": float,
        "client_flag": int,
        "autocommit": bool,
        "echo": bool,
        "use_unicode": bool,
        "local_infile": bool,
        "ssl_verify_cert": bool,
        "ssl_verify_identity": bool,
    }

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.packages |= packages_of("pymysql")  # whose converters and errors it uses
        self._connection = _keeping_transport(module.Connection, self._transport)
        self._quiet = type("QuietCursor", (module.cursors.Cursor,), {"_show_warnings": _pass_over})

    async def dial(self, target: Target, timeout: float) -> Any:
        """Connect; the driver's own connect_timeout ends with the TCP connect, ours with the handshake."""
        no_dsn(self.name, target)
        arguments = server_arguments(target, self.names) | with_tls(converted(target.arguments, self.numbers))
        raw = self._connection(**in_utf8(arguments))
        try:
            await self._open(raw)
        except BaseException:
            self.terminate(raw)  # a dial that is cancelled leaves its socket to nobody else
            raise
        # What it was opened with: the forks keep that under names of their own, or where Python cannot look.
        raw.first = arguments.get(self.names["database"]), arguments.get("sql_mode"), arguments.get("init_command")
        # The driver forgets it when a call is cancelled, however long TLS takes to close it.
        raw.transport = self._transport(raw)
        transports.keep_alive(raw.transport)
        if arguments.get("ssl") and not target.unix_socket and not transports.is_encrypted(raw.transport):
            # Else whoever sits in between only has to say that the server knows no TLS, and reads along.
            self.terminate(raw)
            raise ConfigError("the server offers no TLS, and ssl was asked for: the driver would go on without")
        return raw

    async def _open(self, raw: Any) -> None:
        await raw._connect()

    def _transport(self, raw: Any) -> Any:
        return None if raw._writer is None else raw._writer.transport

    def descriptor(self, raw: Any) -> int | None:
        """Return the transport's."""
        return None if self.is_closed(raw) else transports.descriptor(raw.transport)

    def is_closed(self, raw: Any) -> bool:
        """The driver drops its stream when anything goes wrong on it."""
        return bool(raw.closed)

    async def ping(self, raw: Any) -> Any:
        """Ask only: by itself it would connect again."""
        return await raw.ping(reconnect=False)

    async def set_autocommit(self, raw: Any, on: bool) -> None:
        """Costs a round trip when the mode changes."""
        await raw.autocommit(on)

    async def read_on(self, raw: Any, cursor: Any) -> None:
        """Past the cursor, which keeps what it has of the first result."""
        while raw._result is not None and raw._result.has_next:
            await raw.next_result()

    async def cursor(self, raw: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return a cursor of the driver."""
        return await raw.cursor(*args, **kwargs)

    async def plain_cursor(self, raw: Any) -> Any:
        """Return a plain cursor that keeps the server's warnings to itself.

        Of our questions they would be the program's: MySQL calls tables deprecated that we must read.
        """
        return await self.cursor(raw, (self._quiet,), {})

    async def reset(self, raw: Any) -> bool:
        """Reset the session, and set what the driver sets at connect; False: there was no database, and none cannot be
        chosen again.
        """
        database, sql_mode, init_command = raw.first
        if not database:
            return False
        await raw._execute_command(RESET_CONNECTION, b"")
        await raw._read_ok_packet()
        await raw.query(f"SET NAMES {raw.character_set_name()}")
        await raw.select_db(database)
        if sql_mode is not None:
            await raw.query(f"SET sql_mode={sql_mode}")
        if init_command is not None:
            await raw.query(init_command)
            await raw.commit()
        return True

    async def close(self, raw: Any) -> None:
        """Say goodbye, and close; TLS would take more turns of the loop for that than a program may have at its end."""
        with contextlib.suppress(Exception):
            await raw.ensure_closed()
        self.terminate(raw)

    def terminate(self, raw: Any) -> None:
        """Close the socket at once; the driver's own ``close`` forgets a transport then that is closed already."""
        transports.end(getattr(raw, "transport", None) or self._transport(raw))
        with contextlib.suppress(Exception):
            raw.close()


async def _pass_over(cursor: Any, conn: Any) -> None:
    """In place of the driver's question for warnings."""


def _keeping_transport(connection: Any, transport_of: Callable[[Any], Any]) -> Any:
    """Return the driver's class, but one whose connection keeps its transport when it closes.

    The driver closes a dial that was cancelled, and forgets the transport.  Through TLS that is open until the server
    has said goodbye, or for 30 s (``ssl_shutdown_timeout`` of asyncio): each dial of a hung server would leave a socket
    for so long.  `AioMySQL.terminate` ends it.
    """

    class Connection(connection):  # type: ignore[misc]
        __doc__ = connection.__doc__
        __module__ = connection.__module__
        __qualname__ = connection.__qualname__

        transport = None

        def close(self) -> None:
            self.transport = transport_of(self) or self.transport
            super().close()

    return Connection


def with_tls(arguments: dict[str, Any]) -> dict[str, Any]:
    """Make of ``ssl_ca`` and the like, which a URL and a file can name, the context that the driver takes as ``ssl``.

    They are named as PyMySQL's: with ``ssl_ca`` the server's certificate is verified, unless ``ssl_verify_cert`` is
    false, and with ``ssl_verify_identity`` its name too; ``ssl_cert`` and ``ssl_key`` are the client's own.  Raises
    ConfigError when a file cannot be read, and when ``ssl`` is given besides.
    """
    given = {name: arguments[name] for name in _TLS if name in arguments}
    if not given:
        return arguments
    if "ssl" in arguments:
        raise ConfigError(f"ssl and {', '.join(given)}: give the context, or what it is to be made of")
    if "ssl_ca" not in given:
        raise ConfigError(f"{', '.join(given)} without ssl_ca: say whose certificates are accepted, ssl_ca=FILE")
    try:
        context = ssl.create_default_context(cafile=given["ssl_ca"])
        context.check_hostname = bool(given.get("ssl_verify_identity"))
        if not context.check_hostname and given.get("ssl_verify_cert") is False:
            context.verify_mode = ssl.CERT_NONE
        if "ssl_cert" in given:
            context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    except OSError as exc:  # ssl.SSLError is one
        files = ", ".join(f"{name}={given[name]!r}" for name in _TLS_FILES if name in given)
        raise ConfigError(f"{files}: {exc.strerror or exc}") from exc
    return {name: value for name, value in arguments.items() if name not in given} | {"ssl": context}


def adapter(module: Any) -> AioMySQL:
    """Return the adapter over ``module``."""
    return AioMySQL(module)
