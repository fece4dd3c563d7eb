"""What the drivers for MySQL and MariaDB have in common, for threads and asyncio; each driver's file holds only what
differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from ..contract import Abilities, Target
from . import sockets
from .reader import BaseDriver, Codes
from .surface import ERRORS

MORE_RESULTS = 8
"""SERVER_MORE_RESULTS_EXISTS."""
IN_TRANSACTION = 1
"""SERVER_STATUS_IN_TRANS of the MySQL protocol."""


TELLING = (
    f"{ERRORS} affected_rows character_set_name escape get_autocommit get_host_info get_proto_info get_server_info"
    " insert_id literal thread_id"
)
"""What PyMySQL's connection, and those that were made after it, tell without asking."""


def use(database: str) -> str:
    """Return the statement that does what ``select_db`` does."""
    return f"USE `{database}`"


def begin() -> str:
    """Return the statement that ``begin`` runs."""
    return "BEGIN"


def by_tcp(target: Target) -> Target:
    """Return a target that the C library reaches by TCP where a port is given.

    It takes "localhost", and no host, for its Unix socket, whatever the port says: two nodes on two ports would be one
    server.
    """
    local = (target.host or "localhost").lower() == "localhost"
    return replace(target, host="127.0.0.1") if local and target.port and not target.unix_socket else target


def in_utf8(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``arguments`` for a driver that encodes a password as Latin-1, so that the server gets it in UTF-8, as it
    was set.
    """
    given = {name: arguments[name] for name in ("password", "passwd") if isinstance(arguments.get(name), str)}
    return dict(arguments) | {name: value.encode().decode("latin1") for name, value in given.items()}


class MySQLReader(BaseDriver):
    """A driver that speaks the MySQL protocol.  All have a descriptor, a mode and a deadline; none knows surely of a
    transaction.
    """

    family = "mysql"
    dialect_name = "mysql"
    abilities = Abilities(
        descriptor=True,
        transaction_status=False,
        autocommit=True,
        connect_timeout=True,
        mode_commits=True,
        leaves_results=True,
        fetch_reads=True,
    )

    def folds(self, raw: Any) -> bool:
        """Any of them runs a compound statement, where the server knows it."""
        return True

    def codes(self, exc: BaseException) -> Codes:
        """The number comes first in the arguments, 0 for none; not every driver keeps the SQLSTATE."""
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
        message = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
        return getattr(exc, "sqlstate", None), number or None, message


class RememberedSocket(MySQLReader):
    """A driver over the C library, which closes its socket in the thread that works on it, without telling us.

    So the socket is remembered at connect, and shut down from outside only while its number still means the same
    socket.
    """

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._sockets: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()

    def remember(self, raw: Any) -> None:
        """Remember the socket of a connection that was just made, and have it kept alive."""
        if (descriptor := self.descriptor(raw)) is not None:
            self._sockets[raw] = descriptor, sockets.identity(descriptor)
            sockets.keep_alive(descriptor)

    def is_given_up(self, raw: Any) -> bool:
        """Tell, also while another thread is in a call, whether the connection was closed."""
        return self.is_closed(raw)

    def _remembered(self, raw: Any) -> tuple[int, int] | None:
        """Return the number and the identity of the socket, as they were at connect; None: it was closed here."""
        return None if self.is_given_up(raw) else self._sockets.get(raw)

    def descriptor_in_call(self, raw: Any) -> int | None:
        """Return the number that was remembered at connect, if it still means the same socket."""
        remembered = self._remembered(raw)
        return remembered[0] if remembered is not None and sockets.is_still(*remembered) else None

    def abort(self, raw: Any) -> bool:
        """Shut down the socket that was remembered at connect, if that number still means the same socket."""
        remembered = self._remembered(raw)
        return remembered is not None and sockets.shut_down(*remembered)
